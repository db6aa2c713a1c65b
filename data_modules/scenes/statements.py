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


def count_on_side() -> list[Statement]:
    """There are n things of a colour in one picture."""
    return [
        Statement(
            f"there are {n} {colour} things on the {side}",
            lambda pair, n=n, colour=colour, i=i: _number(pair[i], colour) == n,
        )
        for n in (1, 2, 3)
        for colour in COLOURS
        for i, side in enumerate(SIDES)
    ]


def exists_on_side() -> list[Statement]:
    """There is a thing of a colour and shape in one picture."""
    return [
        Statement(
            f"there is a {colour} {shape} on the {side}",
            lambda pair, words=(colour, shape), i=i: _number(pair[i], *words) > 0,
        )
        for colour in COLOURS
        for shape in SHAPES
        for i, side in enumerate(SIDES)
    ]


def none_on_side() -> list[Statement]:
    """There are no things of a size and shape in one picture."""
    return [
        Statement(
            f"there are no {size} {plural(shape)} on the {side}",
            lambda pair, words=(size, shape), i=i: _number(pair[i], *words) == 0,
        )
        for size in SIZES
        for shape in SHAPES
        for i, side in enumerate(SIDES)
    ]


def both() -> list[Statement]:
    """There is a thing of a shape in each picture."""
    return [
        Statement(
            f"there is a {colour} thing on the left and on the right",
            lambda pair, colour=colour: all(_number(scene, colour) for scene in pair),
        )
        for colour in COLOURS
    ]


def compare() -> list[Statement]:
    """More things of a colour in one picture than in the other, or as many."""
    found = []
    for colour in COLOURS:
        for i, side in enumerate(SIDES):
            found.append(
                Statement(
                    f"there are more {colour} things on the {side} than on the {SIDES[1 - i]}",
                    lambda pair, colour=colour, i=i: _number(pair[i], colour) > _number(pair[1 - i], colour),
                )
            )
    return found


def total_of_both() -> list[Statement]:
    """There are n things of a colour in the two pictures together."""
    return [
        Statement(
            f"there are {n} {colour} things",
            lambda pair, n=n, colour=colour: sum(_number(scene, colour) for scene in pair) == n,
        )
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
