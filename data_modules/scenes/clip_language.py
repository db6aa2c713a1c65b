"""What can be asked about a clip: each kind lists every fitting (question, answer) pair.

Pretraining asks about things by their looks, one fact at a time, and practises two more ways of speaking:
of the one thing that a subtitle points to, and by numbered answers. The video tasks of `clips_*` ask for
what comes before and after, in their own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, DIRECTIONS, SPEEDS, Actor, Clip, Event
from data_modules.scenes.scene import COLOURS

Pairs = list[tuple[str, str]]
Kinds = Mapping[str, Callable[[Clip], Pairs]]

TIMES = {1: "once", 2: "twice", 3: "three times"}
NAMES = ("tom", "ann", "ben", "eve", "max", "zoe")  # who speaks
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")

STILL = "stays still"

POINTING = ("look at the {}.", "watch the {} now.", "there is the {}.", "i see the {}.")
CHATTER = ("hello, look here.", "now watch what happens.", "lets see it once again.", "take your time.")


def phrase(event: Event | None) -> str:
    """What a thing does, for instance `jumps twice`."""
    if event is None:
        return STILL
    if event.action == "moves":
        return f"moves {event.direction} {event.speed}"
    if event.action in ("jumps", "blinks"):
        return f"{event.action} {TIMES[event.times]}"
    return f"turns {event.colour}" if event.action == "turns" else event.action


PHRASES = (
    *(phrase(Event("moves", 0, direction=d, speed=s)) for d in DIRECTIONS for s in SPEEDS),
    *(phrase(Event(a, 0, times=n)) for a in ("jumps", "blinks") for n in TIMES),
    *(phrase(Event("turns", 0, colour=c)) for c in COLOURS),
    "appears",
    "disappears",
    STILL,
)
"""Everything that a thing may do."""


def place(actor: Actor, beat: int) -> str:
    """Where it is in the middle of a beat, for instance `top left`."""
    state = actor.at(beat + 0.5)
    return f"{_ROWS[int(state.y + 0.5)]} {_COLUMNS[int(state.x + 0.5)]}"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _seen(clip: Clip, beat: int) -> list[Actor]:
    return [a for a in clip.actors if a.at(beat + 0.5).visible]


# --- what pretraining asks -------------------------------------------------------------------


def what_does(clip: Clip) -> Pairs:
    return [(f"what does the {a.name} do?", f"it {phrase(a.event)}") for a in clip.actors]


def which_does(clip: Clip) -> Pairs:
    """Which thing does it, asked when exactly one does."""
    found: Pairs = []
    for action in ("moves", "jumps", "blinks", "appears", "disappears", "turns"):
        doing = clip.doing(action)
        if len(doing) == 1:
            found.append((f"which thing {action}?", f"the {doing[0].name}"))
    return found


def moves_check(clip: Clip) -> Pairs:
    return [
        (f"does the {a.name} {verb}?", _yes(a.does(action)))
        for a in clip.actors
        for verb, action in (("move", "moves"), ("jump", "jumps"), ("blink", "blinks"))
    ]


def direction(clip: Clip) -> Pairs:
    return [
        (f"which way does the {a.name} move?", a.event.direction)
        for a in clip.doing("moves")
        if a.event is not None
    ]


def speed(clip: Clip) -> Pairs:
    return [
        (f"how fast does the {a.name} move?", a.event.speed)
        for a in clip.doing("moves")
        if a.event is not None
    ]


def count_times(clip: Clip) -> Pairs:
    return [
        (f"how many times does the {a.name} {verb}?", str(a.event.times if a.event and a.does(action) else 0))
        for a in clip.actors
        for verb, action in (("jump", "jumps"), ("blink", "blinks"))
    ]


def first_of(clip: Clip) -> Pairs:
    """Which of two things starts first."""
    doing = clip.doing()
    return [
        (f"which starts first, the {one.name} or the {other.name}?", f"the {first.name}")
        for number, first in enumerate(doing)
        for second in doing[number + 1 :]
        for one, other in ((first, second), (second, first))
    ]


def where(clip: Clip) -> Pairs:
    found: Pairs = []
    for word, beat in (("start", 0), ("end", BEATS - 1)):
        found += [(f"where is the {a.name} at the {word}?", place(a, beat)) for a in _seen(clip, beat)]
    return found


def colour_then(clip: Clip) -> Pairs:
    """The colour of the only thing of a shape, at the start or the end."""
    shapes = [a.shape for a in clip.actors]
    found: Pairs = []
    for word, beat in (("start", 0), ("end", BEATS - 1)):
        for actor in _seen(clip, beat):
            if shapes.count(actor.shape) == 1:
                colour = actor.at(beat + 0.5).colour
                found.append((f"what color is the {actor.shape} at the {word}?", colour))
    return found


def how_many_then(clip: Clip) -> Pairs:
    return [
        (f"how many things are there at the {word}?", str(len(_seen(clip, beat))))
        for word, beat in (("start", 0), ("end", BEATS - 1))
    ]


def how_many_do(clip: Clip) -> Pairs:
    found = [
        (f"how many things {verb}?", str(len(clip.doing(action))))
        for verb, action in (("move", "moves"), ("jump", "jumps"))
    ]
    return [*found, ("how many things stay still?", str(len(clip.actors) - len(clip.doing())))]


def caption(clip: Clip) -> Pairs:
    """Everything in the order in which it starts."""
    return [("", ", then ".join(f"the {a.name} {phrase(a.event)}" for a in clip.doing()))]


def caption_first(clip: Clip) -> Pairs:
    doing = clip.doing()
    return [
        ("first", f"the {doing[0].name} {phrase(doing[0].event)}"),
        ("last", f"the {doing[-1].name} {phrase(doing[-1].event)}"),
    ]


def caption_scene(clip: Clip) -> Pairs:
    """What there is at the start, in reading order."""
    return [("things", ", ".join(f"{a.name} {place(a, 0)}" for a in _seen(clip, 0)))]


PRETRAINING: Kinds = {
    "what_does": what_does,
    "which_does": which_does,
    "does_check": moves_check,
    "direction": direction,
    "speed": speed,
    "count_times": count_times,
    "first_of": first_of,
    "where": where,
    "color_then": colour_then,
    "how_many_then": how_many_then,
    "how_many_do": how_many_do,
}
CAPTIONS: Kinds = {"caption": caption, "caption_first": caption_first, "caption_scene": caption_scene}


# --- subtitles and choices, which need a random stream ----------------------------------------


def pointed_at(actor: Actor, random: RandomState) -> list[str]:
    """Lines of subtitles, of which one says what is spoken of; who says it does not matter."""
    name, other = (NAMES[i] for i in random.permutation(len(NAMES))[:2])
    lines = [f"{name} : {POINTING[random.randint(len(POINTING))].format(actor.name)}"]
    if random.randint(2):
        chatter = f"{other} : {CHATTER[random.randint(len(CHATTER))]}"
        lines.insert(int(random.randint(2)), chatter)
    return lines


def subtitled_question(clip: Clip, random: RandomState) -> tuple[str, str]:
    """Subtitles that point to one thing, and a question about `it`."""
    actor = clip.actors[random.randint(len(clip.actors))]
    question, answer = _about(clip, actor, random)
    asked = question.replace(f"the {actor.name}", "it", 1)
    return f"[subs] {' '.join(pointed_at(actor, random))} [q] {asked}", answer


def _about(clip: Clip, actor: Actor, random: RandomState) -> tuple[str, str]:
    """A pretraining question that names this thing first."""
    kinds = [what_does, moves_check, direction, speed, count_times, where]
    pairs = [
        pair for kind in kinds for pair in kind(clip) if f"the {actor.name} " in pair[0].split(", ", 1)[0]
    ]
    return pairs[random.randint(len(pairs))]


def choices_of(answer: str, others: list[str], count: int, random: RandomState) -> tuple[str, int]:
    """The text `a0: … a1: …` of an answer among `others`, and its number; fewer if there are few others."""
    others = [other for other in dict.fromkeys(others) if other != answer]
    chosen = [others[i] for i in random.permutation(len(others))[: count - 1]]
    right = int(random.randint(len(chosen) + 1))
    chosen.insert(right, answer)
    return " ".join(f"a{number}: {text}." for number, text in enumerate(chosen)), right


def choice_question(clip: Clip, random: RandomState) -> tuple[str, str]:
    """A question with numbered answers, one of them right; sometimes with subtitles or a moment before.

    Where the choices stand in the prompt varies, and any kind of question may have some, so that what is
    practised is to choose.
    """
    kinds = tuple(_POOLS)
    while True:
        kind = kinds[random.randint(len(kinds))]
        pairs = kind(clip)
        if pairs:
            break
    question, answer = pairs[random.randint(len(pairs))]
    others = _POOLS[kind](clip)
    subtitles = moment = ""
    actor = next((a for a in clip.actors if f"the {a.name}" in question.split(", ", 1)[0]), None)
    if random.randint(2):
        pointed = actor if actor is not None else clip.actors[random.randint(len(clip.actors))]
        subtitles = f"[subs] {' '.join(pointed_at(pointed, random))} "
        if actor is not None and random.randint(2):
            question = question.replace(f"the {actor.name}", "it", 1)
    if random.randint(2):
        start = random.randint(BEATS - 1)
        moment = f" [ts] ({start}.0-{random.randint(start + 1, BEATS + 1)}.0)"
    text, right = choices_of(answer, others, int(random.randint(3, 6)), random)
    task = ("", " tvqa: ", " how2qa: ")[random.randint(3)]
    return f"{subtitles}[q] {question}{moment} [choices] {text}{task}", f"a{right}"


def _first(clip: Clip) -> Pairs:
    doing = clip.doing()
    return [("what happens first?", f"the {doing[0].name} {phrase(doing[0].event)}")]


def _looks(clip: Clip) -> list[str]:
    shapes = {actor.shape for actor in clip.actors}
    return [f"the {actor.name}" for actor in clip.actors] + [f"the {c} {s}" for c in COLOURS for s in shapes]


_POOLS: Mapping[Callable[[Clip], Pairs], Callable[[Clip], list[str]]] = {
    what_does: lambda clip: [f"it {told}" for told in PHRASES],
    which_does: _looks,
    direction: lambda clip: list(DIRECTIONS),
    count_times: lambda clip: ["0", "1", "2", "3", "4"],
    first_of: _looks,
    where: lambda clip: [f"{row} {column}" for row in _ROWS for column in _COLUMNS],
    colour_then: lambda clip: list(COLOURS),
    how_many_then: lambda clip: ["0", "1", "2", "3", "4"],
    how_many_do: lambda clip: ["0", "1", "2", "3", "4"],
    _first: lambda clip: [f"the {a.name} {told}" for a in clip.actors for told in PHRASES],
}
"""Kind of question -> what could be answered."""
