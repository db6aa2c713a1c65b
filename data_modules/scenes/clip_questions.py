"""What the video tasks ask about a clip: order, direction, speed, count over time, places, colours, who.

They speak of things by look, and of one thing as `it` where subtitles say which. None of them is asked in
pretraining in this form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, DIRECTIONS, SPEEDS, Actor, Clip
from data_modules.scenes.clip_language import PHRASES, TIMES, phrase, place
from data_modules.scenes.scene import COLOURS, SHAPES

Says = Mapping[Actor, str]

PLACES = tuple(
    f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "center", "right")
)


@dataclass(frozen=True)
class Asked:
    """One question.

    Args:
        kind: what it is about.
        question: the text.
        answer: the right answer.
        others: what else could be answered; drawn evenly, so that the choices alone tell nothing.
        beats: the first and the last beat that the question is about.
        always: wrong answers that are always among the choices.
    """

    kind: str
    question: str
    answer: str
    others: tuple[str, ...]
    beats: tuple[int, int] = (0, BEATS)
    always: tuple[str, ...] = ()


def by_look(clip: Clip) -> dict[Actor, str]:
    """Every thing by colour and shape."""
    return {actor: f"the {actor.name}" for actor in clip.actors}


def questions(clip: Clip, says: Says) -> list[Asked]:
    """Everything that can be asked of the clip.

    Args:
        clip: what happens.
        says: how to speak of each thing.
    """
    return [
        *_what(clip, says),
        *_next(clip, says),
        *_who(clip),
        *_how(clip, says),
        *_how_often(clip, says),
        *_where(clip, says),
        *_colour(clip, says),
        *_how_many(clip),
    ]


def _steps(clip: Clip) -> list[tuple[Actor, Actor]]:
    """Things that do something, each with the one that starts next."""
    doing = clip.doing()
    return list(zip(doing, doing[1:], strict=False))


def _beats(*actors: Actor) -> tuple[int, int]:
    events = [actor.event for actor in actors if actor.event]
    return (min(e.start for e in events), max(e.end for e in events) + 1) if events else (0, BEATS)


def _what(clip: Clip, says: Says) -> list[Asked]:
    found = []
    for earlier, later in _steps(clip):
        for word, asked, other in (("after", later, earlier), ("before", earlier, later)):
            question = f"what does {says[asked]} do {word} {says[other]} {phrase(other.event)}?"
            found.append(Asked(word, question, phrase(asked.event), PHRASES, _beats(earlier, later)))
    return found


def _next(clip: Clip, says: Says) -> list[Asked]:
    found = []
    for earlier, later in _steps(clip):
        question = f"what happens after {says[earlier]} {phrase(earlier.event)}?"
        others = tuple(f"{says[a]} {told}" for a in clip.actors if a is not earlier for told in PHRASES)
        answer = f"{says[later]} {phrase(later.event)}"
        found.append(Asked("next", question, answer, others, _beats(earlier, later)))
    return found


def _who(clip: Clip) -> list[Asked]:
    doing = clip.doing()
    found = []
    for word, actor in (("first", doing[0]), ("last", doing[-1])):
        if len(doing) > 1:
            question = f"which thing starts {word}?"
            found.append(Asked("who", question, f"the {actor.name}", _LOOKS, always=_others(clip, actor)))
    for action in ("moves", "jumps", "blinks", "turns", "appears", "disappears"):
        ones = clip.doing(action)
        if len(ones) == 1:
            question, others = f"which thing {action} here?", _others(clip, ones[0])
            found.append(Asked("who", question, f"the {ones[0].name}", _LOOKS, _beats(ones[0]), others))
    return found


_LOOKS = tuple(f"the {colour} {shape}" for colour in COLOURS for shape in SHAPES)


def _others(clip: Clip, actor: Actor) -> tuple[str, ...]:
    return tuple(f"the {other.name}" for other in clip.actors if other is not actor)


def _how(clip: Clip, says: Says) -> list[Asked]:
    ways = [f"{direction} {speed}" for direction in DIRECTIONS for speed in SPEEDS]
    return [
        Asked(
            "how",
            f"how does {says[actor]} move?",
            f"{actor.event.direction} {actor.event.speed}",
            tuple(ways),
            _beats(actor),
        )
        for actor in clip.doing("moves")
        if actor.event is not None
    ]


def _how_often(clip: Clip, says: Says) -> list[Asked]:
    words = (*TIMES.values(), "not once", "many times")
    return [
        Asked(
            "how often",
            f"how often does {says[actor]} {verb}?",
            TIMES[actor.event.times] if actor.event and actor.does(action) else "not once",
            words,
        )
        for actor in clip.actors
        for verb, action in (("jump", "jumps"), ("blink", "blinks"))
    ]


def _where(clip: Clip, says: Says) -> list[Asked]:
    return [
        Asked("where", f"where does {says[actor]} end up?", place(actor, BEATS - 1), PLACES)
        for actor in clip.actors
        if actor.at(BEATS - 0.5).visible
    ]


def _colour(clip: Clip, says: Says) -> list[Asked]:
    return [
        Asked(
            "color",
            f"what color does {says[actor]} show at last?",
            actor.event.colour,
            tuple(COLOURS),
            _beats(actor),
        )
        for actor in clip.doing("turns")
        if actor.event is not None
    ]


def _how_many(clip: Clip) -> list[Asked]:
    numbers = ("zero", "one", "two", "three", "several")
    return [
        Asked("how many", f"how many in all {verb}?", numbers[count], numbers)
        for verb, count in (
            ("move", len(clip.doing("moves"))),
            ("jump", len(clip.doing("jumps"))),
            ("do nothing", len(clip.actors) - len(clip.doing())),
        )
    ]


def with_choices(asked: Asked, count: int, random: RandomState) -> tuple[list[str], int]:
    """`count` different answers in an order of their own, and the place of the right one.

    Raises:
        ValueError: the kind has too few answers.
    """
    always = [other for other in asked.always if other != asked.answer][: count - 1]
    rest = [o for o in dict.fromkeys(asked.others) if o != asked.answer and o not in always]
    if len(always) + len(rest) < count - 1:
        raise ValueError(f"{asked.question!r} has too few wrong answers, {count - 1} are needed")
    drawn = random.permutation(len(rest))[: count - 1 - len(always)]
    chosen = always + [rest[i] for i in drawn]
    chosen = [chosen[i] for i in random.permutation(len(chosen))]
    right = int(random.randint(count))
    chosen.insert(right, asked.answer)
    return chosen, right
