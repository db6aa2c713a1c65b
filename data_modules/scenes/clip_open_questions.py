"""Open questions about a clip, answered by a word or two: each kind lists every fitting (question, answer).

`FIRST_WORDS` are by first word, as MSVD-QA and MSRVTT-QA count them; `TYPES` are ActivityNet-QA's nine, in
the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from data_modules.scenes.clip import BEATS, DIRECTIONS, SPEEDS, Actor, Clip
from data_modules.scenes.clip_language import TIMES, place

Pairs = list[tuple[str, str]]
Kinds = Mapping[str, Callable[[Clip], Pairs]]

DOING = {
    "moves": "moving",
    "jumps": "jumping",
    "blinks": "blinking",
    "turns": "turning",
    "appears": "appearing",
    "disappears": "disappearing",
}


def _single(clip: Clip) -> list[Actor]:
    """Things whose shape no other has."""
    shapes = [actor.shape for actor in clip.actors]
    return [actor for actor in clip.actors if shapes.count(actor.shape) == 1]


def what_is_it_doing(clip: Clip) -> Pairs:
    return [
        (f"what is the {a.shape} doing?", DOING[a.event.action] if a.event else "standing")
        for a in _single(clip)
    ]


def what_is_doing(clip: Clip) -> Pairs:
    return [
        (f"what is {word}?", doing[0].shape)
        for action, word in DOING.items()
        if len(doing := clip.doing(action)) == 1
    ]


def what_colour(clip: Clip) -> Pairs:
    return [
        (f"what color is the {word} thing?", doing[0].colour)
        for action, word in DOING.items()
        if action != "turns" and len(doing := clip.doing(action)) == 1
    ]


def who_first(clip: Clip) -> Pairs:
    doing = clip.doing()
    if len(doing) < 2 or len(_single(clip)) < len(clip.actors):
        return []
    return [("who is the first to do something?", doing[0].shape), ("who is the last?", doing[-1].shape)]


def how_many(clip: Clip) -> Pairs:
    numbers = ("zero", "one", "two", "three")
    return [
        (f"how many things are {word}?", numbers[len(clip.doing(action))])
        for action, word in DOING.items()
        if action in ("moves", "jumps", "blinks")
    ]


def how_often(clip: Clip) -> Pairs:
    return [
        (f"how often is the {a.shape} {DOING[a.event.action]}?", TIMES[a.event.times])
        for a in _single(clip)
        if a.event and a.event.action in ("jumps", "blinks")
    ]


def how_fast(clip: Clip) -> Pairs:
    return [
        (f"how is the {a.shape} moving?", a.event.speed) for a in _single(clip) if a.event and a.does("moves")
    ]


def where_to(clip: Clip) -> Pairs:
    return [
        (f"where is the {a.shape} moving to?", a.event.direction)
        for a in _single(clip)
        if a.event and a.does("moves")
    ]


def when_does(clip: Clip) -> Pairs:
    """Whether one of two things is first or last."""
    doing = clip.doing()
    if len(doing) != 2 or doing[0].shape == doing[1].shape:
        return []
    return [
        (f"when is it the turn of the {actor.shape}?", word)
        for actor, word in zip(doing, ("first", "last"), strict=True)
        if actor in _single(clip)
    ]


FIRST_WORDS: Kinds = {
    "what is it doing": what_is_it_doing,
    "what is doing": what_is_doing,
    "what color": what_colour,
    "who": who_first,
    "how many": how_many,
    "how often": how_often,
    "how fast": how_fast,
    "where": where_to,
    "when": when_does,
}


# --- ActivityNet-QA's types ------------------------------------------------------------------


def motion(clip: Clip) -> Pairs:
    return [
        (
            f"what does the {a.name} do in the video?",
            a.event.action.removesuffix("s") if a.event else "nothing",
        )
        for a in clip.actors
    ]


def spatial(clip: Clip) -> Pairs:
    """On which side one thing starts, seen from another in its row or column."""
    found: Pairs = []
    for a in clip.actors:
        for b in clip.actors:
            if a is b or not (a.at(0.5).visible and b.at(0.5).visible):
                continue
            question = f"on which side of the {b.name} is the {a.name} at the start?"
            if a.row == b.row:
                found.append((question, "left" if a.column < b.column else "right"))
            elif a.column == b.column:
                found.append((question, "top" if a.row < b.row else "bottom"))
    return found


def temporal(clip: Clip) -> Pairs:
    doing = clip.doing()
    found: Pairs = []
    for a, b in zip(doing, doing[1:], strict=False):
        found.append((f"which thing is next after the {a.name}?", b.name))
        found.append((f"which thing is right before the {b.name}?", a.name))
    return found


def yes_no(clip: Clip) -> Pairs:
    found: Pairs = []
    for actor in clip.doing("moves"):
        assert actor.event is not None
        ways = [
            f"{d} {s}"
            for d in DIRECTIONS
            for s in SPEEDS
            if d == actor.event.direction or s == actor.event.speed
        ]
        truth = f"{actor.event.direction} {actor.event.speed}"
        found += [(f"is the {actor.name} moving {way}?", "yes" if way == truth else "no") for way in ways]
    doing = clip.doing()
    for a in doing:
        for b in doing:
            if a is not b:
                answer = "yes" if doing.index(a) < doing.index(b) else "no"
                found.append((f"does the {a.name} start before the {b.name}?", answer))
    return found


def colour(clip: Clip) -> Pairs:
    return [
        (f"what color is the {a.shape} in the last moment?", a.at(BEATS - 0.5).colour)
        for a in _single(clip)
        if a.at(BEATS - 0.5).visible
    ]


def thing(clip: Clip) -> Pairs:
    """The shape of what does something that nothing else does."""
    return [
        (f"what object is {word}?", doing[0].shape)
        for action, word in DOING.items()
        if len(doing := clip.doing(action)) == 1
    ]


def location(clip: Clip) -> Pairs:
    return [
        (f"where does the {a.name} stay in the end?", place(a, BEATS - 1))
        for a in clip.actors
        if a.at(BEATS - 0.5).visible
    ]


def number(clip: Clip) -> Pairs:
    found = [
        (f"how many times is the {a.name} {DOING[a.event.action]}?", str(a.event.times))
        for a in clip.actors
        if a.event and a.event.action in ("jumps", "blinks")
    ]
    return found + [("how many things do something?", str(len(clip.doing())))]


def other(clip: Clip) -> Pairs:
    return [
        (f"is the {a.name} moving slowly or quickly?", a.event.speed) for a in clip.doing("moves") if a.event
    ]


TYPES: Kinds = {
    "motion": motion,
    "spatial relationship": spatial,
    "temporal relationship": temporal,
    "yes/no": yes_no,
    "color": colour,
    "object": thing,
    "location": location,
    "number": number,
    "other": other,
}
