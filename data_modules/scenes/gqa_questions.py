"""What GQA's world asks about a scene: each kind lists questions with type, program and entailed questions.

The kinds follow GQA's structural types (verify, query, choose, logical, compare) and semantic types (obj,
attr, rel); Hudson & Manning 2019, arXiv:1902.09506, section 3. Pretraining asks none of them in these words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data_modules.scenes.language import DIRECTIONS
from data_modules.scenes.scene import COLOURS, SHAPES, SIZES, Scene, Thing

Step = tuple[str, str]
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True)
class Asked:
    """One question.

    Args:
        question: lower-cased, with its question mark.
        answer: a word, or two for a relation.
        steps: the program, (operation, argument) in order; each works on the step before it.
        entailed: questions whose answers follow from this answer; each (detailed type, question).
    """

    question: str
    answer: str
    steps: tuple[Step, ...]
    entailed: tuple[tuple[str, Asked], ...] = ()


@dataclass(frozen=True)
class Kind:
    """A detailed type: its structural and semantic type, its answers' global group, its questions."""

    structural: str
    semantic: str
    group: str | None
    list_all: Callable[[Scene], list[Asked]]


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _exists(scene: Scene, words: tuple[str, ...]) -> bool:
    return any(_fits(thing, words) for thing in scene.things)


def _fits(thing: Thing, words: tuple[str, ...]) -> bool:
    return all(word in ("thing", thing.colour, thing.shape, thing.size) for word in words)


def _only(scene: Scene, *words: str) -> Thing | None:
    """The one thing that has all these words; None when there are none or several."""
    found = [thing for thing in scene.things if _fits(thing, words)]
    return found[0] if len(found) == 1 else None


def _exist_question(scene: Scene, *words: str) -> Asked:
    steps = (("select", words[-1]), *(("filter", word) for word in words[:-1]), ("exist", "?"))
    return Asked(f"is there a {' '.join(words)}?", _yes(_exists(scene, words)), steps)


def _verify_colour(thing: Thing, name: str, colour: str) -> Asked:
    steps = (("select", name), ("verify color", colour))
    return Asked(f"is the {name} {colour}?", _yes(thing.colour == colour), steps)


def exist_attribute(scene: Scene) -> list[Asked]:
    return [_exist_question(scene, size, colour, "thing") for size in SIZES for colour in COLOURS]


def verify_attribute(scene: Scene) -> list[Asked]:
    """Is the only thing of a shape of one colour."""
    only = [(shape, _only(scene, shape)) for shape in SHAPES]
    return [
        _with_pair_entailed(scene, _verify_colour(thing, shape, colour), thing)
        for shape, thing in only
        if thing
        for colour in COLOURS
    ]


def _with_pair_entailed(scene: Scene, asked: Asked, thing: Thing) -> Asked:
    """A yes about a thing's colour entails that such a thing is there."""
    if asked.answer != "yes":
        return asked
    entailed = ("existAttr", _exist_question(scene, thing.colour, thing.shape))
    return Asked(asked.question, asked.answer, asked.steps, (entailed,))


def query_colour(scene: Scene) -> list[Asked]:
    """The colour of the only thing of a size and shape."""
    found = []
    for size in SIZES:
        for shape in SHAPES:
            thing = _only(scene, size, shape)
            if thing:
                name = f"{size} {shape}"
                entailed = (
                    ("existAttr", _exist_question(scene, thing.colour, shape)),
                    ("verifyAttr", _verify_colour(thing, name, thing.colour)),
                )
                steps = (("select", shape), ("filter size", size), ("query", "color"))
                found.append(Asked(f"what color is the {name}?", thing.colour, steps, entailed))
    return found


def query_relation(scene: Scene) -> list[Asked]:
    """The shape of the only thing on one side of a named one."""
    found = []
    for named in scene.unique_things():
        for words, holds in DIRECTIONS.items():
            others = [thing for thing in scene.things if holds(thing, named)]
            if len(others) == 1:
                steps = (("select", named.name), ("relate", f"thing,{words},s"), ("query", "name"))
                entailed = (("exist", _exist_question(scene, others[0].shape)),)
                found.append(Asked(f"what is {words} the {named.name}?", others[0].shape, steps, entailed))
    return found


def choose_attribute(scene: Scene) -> list[Asked]:
    found = []
    for shape in SHAPES:
        thing = _only(scene, shape)
        for other in COLOURS if thing else ():
            if thing is None or other == thing.colour:
                continue
            steps = (("select", shape), ("choose color", f"{thing.colour}|{other}"))
            entailed = (
                ("verifyAttr", _verify_colour(thing, shape, thing.colour)),
                ("verifyAttr", _verify_colour(thing, shape, other)),
            )
            for first, second in ((thing.colour, other), (other, thing.colour)):
                question = f"is the {shape} {first} or {second}?"
                found.append(Asked(question, thing.colour, steps, entailed))
    return found


def choose_relation(scene: Scene) -> list[Asked]:
    """On which of two opposite sides of one named thing another one lies."""
    found = []
    for a in scene.unique_things():
        for b in scene.unique_things():
            for words, holds in DIRECTIONS.items():
                other = OPPOSITE[words]
                if a is b or not (holds(a, b) or DIRECTIONS[other](a, b)):
                    continue
                answer = words if holds(a, b) else other
                steps = (("select", b.name), ("select", a.name), ("choose rel", f"{words}|{other}"))
                question = f"is the {a.name} {words} or {other} the {b.name}?"
                found.append(Asked(question, answer, steps))
    return found


def _two_shapes(scene: Scene, word: str) -> list[Asked]:
    found = []
    for first in SHAPES:
        for second in SHAPES:
            if first != second:
                there = _exists(scene, (first,)), _exists(scene, (second,))
                answer = _yes(all(there) if word == "and" else any(there))
                steps = (("select", first), ("exist", "?"), ("select", second), ("exist", "?"), (word, ""))
                certain = answer == ("yes" if word == "and" else "no")
                entailed = tuple(("exist", _exist_question(scene, shape)) for shape in (first, second))
                question = f"is there a {first} {word} a {second}?"
                found.append(Asked(question, answer, steps, entailed if certain else ()))
    return found


def logic_and(scene: Scene) -> list[Asked]:
    return _two_shapes(scene, "and")


def logic_or(scene: Scene) -> list[Asked]:
    return _two_shapes(scene, "or")


def compare_colours(scene: Scene) -> list[Asked]:
    """Whether the only two things of two shapes are both of one colour."""
    found = []
    for first in SHAPES:
        for second in SHAPES:
            a, b = _only(scene, first), _only(scene, second)
            for colour in COLOURS if a and b and first != second else ():
                assert a is not None and b is not None
                fact = a.colour == b.colour == colour
                steps = (("select", first), ("select", second), ("same color", colour))
                entailed = tuple(
                    ("verifyAttr", _verify_colour(thing, thing.shape, colour)) for thing in (a, b)
                )
                question = f"are the {first} and the {second} {colour}?"
                found.append(Asked(question, _yes(fact), steps, entailed if fact else ()))
    return found


KINDS: Mapping[str, Kind] = {
    "existAttr": Kind("verify", "obj", None, exist_attribute),
    "verifyAttr": Kind("verify", "attr", None, verify_attribute),
    "directAttr": Kind("query", "attr", "color", query_colour),
    "relS": Kind("query", "rel", "shape", query_relation),
    "chooseAttr": Kind("choose", "attr", "color", choose_attribute),
    "relChooser": Kind("choose", "rel", "relation", choose_relation),
    "logicAnd": Kind("logical", "obj", None, logic_and),
    "logicOr": Kind("logical", "obj", None, logic_or),
    "twoSame": Kind("compare", "attr", None, compare_colours),
}
# Entailed questions have types of their own where no kind above asks them.
ENTAILED_TYPES = {
    "exist": ("verify", "obj"),
    "existAttr": ("verify", "obj"),
    "verifyAttr": ("verify", "attr"),
}
