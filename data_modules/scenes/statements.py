"""Statements about two scenes, and whether each is true: what NLVR2's world is asked.

Each kind lists its sentences once; a sentence is true or false of any pair of scenes. The pair's first
picture is "the left", the second "the right".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data_modules.scenes.language import plural
from data_modules.scenes.scene import COLOURS, SHAPES, SIZES, Scene

Pair = tuple[Scene, Scene]
SIDES = ("left", "right")


@dataclass(frozen=True)
class Statement:
    """A sentence and the test of whether it holds for (left, right)."""

    sentence: str
    holds: Callable[[Pair], bool]


def _number(scene: Scene, *words: str) -> int:
    return sum(all(word in (t.colour, t.shape, t.size) for word in words) for t in scene.things)


def _count(places: tuple[int, ...], n: int, *words: str) -> Callable[[Pair], bool]:
    """Exactly n things with these words in the pictures at `places` together."""
    return lambda pair: sum(_number(pair[place], *words) for place in places) == n


def _some(places: tuple[int, ...], *words: str) -> Callable[[Pair], bool]:
    """At least one thing with these words in each picture at `places`."""
    return lambda pair: all(_number(pair[place], *words) for place in places)


def _more(place: int, *words: str) -> Callable[[Pair], bool]:
    """More things with these words in the picture at `place` than in the other."""
    return lambda pair: _number(pair[place], *words) > _number(pair[1 - place], *words)


def count_on_side() -> list[Statement]:
    """There are n things of a colour in one picture."""
    return [
        Statement(f"there are {n} {colour} things on the {side}", _count((i,), n, colour))
        for n in (1, 2, 3)
        for colour in COLOURS
        for i, side in enumerate(SIDES)
    ]


def exists_on_side() -> list[Statement]:
    """There is a thing of a colour and shape in one picture."""
    return [
        Statement(f"there is a {colour} {shape} on the {side}", _some((i,), colour, shape))
        for colour in COLOURS
        for shape in SHAPES
        for i, side in enumerate(SIDES)
    ]


def none_on_side() -> list[Statement]:
    """There are no things of a size and shape in one picture."""
    return [
        Statement(f"there are no {size} {plural(shape)} on the {side}", _count((i,), 0, size, shape))
        for size in SIZES
        for shape in SHAPES
        for i, side in enumerate(SIDES)
    ]


def both() -> list[Statement]:
    """There is a thing of a colour in each picture."""
    return [
        Statement(f"there is a {colour} thing on the left and on the right", _some((0, 1), colour))
        for colour in COLOURS
    ]


def compare() -> list[Statement]:
    """More things of a colour in one picture than in the other."""
    return [
        Statement(
            f"there are more {colour} things on the {side} than on the {SIDES[1 - i]}", _more(i, colour)
        )
        for colour in COLOURS
        for i, side in enumerate(SIDES)
    ]


def total_of_both() -> list[Statement]:
    """There are n things of a colour in the two pictures together."""
    return [
        Statement(f"there are {n} {colour} things", _count((0, 1), n, colour))
        for n in (1, 2, 3, 4)
        for colour in COLOURS
    ]


STATEMENTS: Mapping[str, Callable[[], list[Statement]]] = {
    "count_on_side": count_on_side,
    "exists_on_side": exists_on_side,
    "none_on_side": none_on_side,
    "both": both,
    "compare": compare,
    "total_of_both": total_of_both,
}
