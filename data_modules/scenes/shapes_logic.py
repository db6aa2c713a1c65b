"""SHAPES questions: their logical forms, what these mean, and how they are said in English.

Source: Andreas et al. 2016 (arXiv:1511.02799); the meaning was recovered from the real pictures: a picture
is a 3 x 3 grid whose cells are empty or hold one object; `(is X Y)` is true when some cell lies in both X
and Y; `(above X)` holds the cells exactly one step above a cell of X, what would leave the grid is dropped.
Shapes: n = pictures; rows run from the top, columns from the left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

COLOURS = ("red", "green", "blue")
SHAPES = ("circle", "square", "triangle")
ATTRIBUTES = COLOURS + SHAPES
# relation -> (rows, columns) from a cell to the cell that stands in that relation to it
STEPS = {"above": (-1, 0), "below": (1, 0), "left_of": (0, -1), "right_of": (0, 1)}
SIDE = 3


@dataclass(frozen=True)
class Scenes:
    """What n pictures show.

    Args:
        colours: (n, 3, 3) index into COLOURS, -1 in an empty cell.
        shapes: (n, 3, 3) index into SHAPES, -1 in an empty cell.
    """

    colours: np.ndarray
    shapes: np.ndarray

    def __len__(self) -> int:
        return len(self.colours)

    def __getitem__(self, rows: Any) -> Scenes:
        return Scenes(self.colours[rows], self.shapes[rows])


def parse(query: str) -> tuple[Any, ...]:
    """The nested tuple of a logical form: "(is red (above circle))" -> ("is", "red", ("above", "circle")).

    Raises:
        ValueError: the text is no logical form of SHAPES.
    """
    tokens = re.findall(r"[()]|[^\s()]+", query)
    form = _read(tokens, query)
    if tokens or not isinstance(form, tuple) or form[0] != "is":
        raise ValueError(f"{query!r} is no SHAPES question; it should look like (is red (above circle))")
    return form


def _read(tokens: list[str], query: str) -> Any:
    head = tokens.pop(0) if tokens else ""
    if head in ATTRIBUTES:
        return head
    word = tokens.pop(0) if head == "(" and tokens else ""
    count = 2 if word == "is" else 1 if word in STEPS else 0
    parts = tuple(_read(tokens, query) for _ in range(count))
    if not count or not tokens or tokens.pop(0) != ")" or any(p[0] == "is" for p in parts):
        allowed = ", ".join(("is", *STEPS, *ATTRIBUTES))
        raise ValueError(f"{query!r} is no SHAPES logical form; words: {allowed}, each operator in brackets")
    return (word, *parts)


def where(form: Any, scenes: Scenes) -> np.ndarray:
    """(n, 3, 3) bool: the cells that an attribute or a nest of relations stands for."""
    if form in COLOURS:
        return scenes.colours == COLOURS.index(form)
    if form in SHAPES:
        return scenes.shapes == SHAPES.index(form)
    (down, right), inner = STEPS[form[0]], where(form[1], scenes)
    padded = np.pad(inner, ((0, 0), (1, 1), (1, 1)))
    return padded[:, 1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE]


def answers(query: str, scenes: Scenes) -> np.ndarray:
    """(n,) bool: is the question true of each picture?"""
    _, left, right = parse(query)
    return (where(left, scenes) & where(right, scenes)).any(axis=(1, 2))


def noun(form: Any) -> str:
    """A set of cells in English: "a red shape", "above left of a circle"."""
    if isinstance(form, tuple):
        return f"{form[0].replace('_', ' ')} {noun(form[1])}"
    return f"a {form} shape" if form in COLOURS else f"a {form}"


def sentence(query: str) -> str:
    """The question in the words of `S.query_str.txt`: "is a red shape above a circle"."""
    _, left, right = parse(query)
    return f"is {noun(left)} {right if right in COLOURS else noun(right)}"


def questions(relations: int) -> Iterator[str]:
    """Every question of the grammar with so many relations: 36 with none, 144 with one, 576 with two."""
    for left, *steps, right in product(ATTRIBUTES, *[tuple(STEPS)] * relations, ATTRIBUTES):
        yield f"(is {left} {''.join(f'({s} ' for s in steps)}{right}{')' * relations})"


def relations_in(query: str) -> int:
    """How many relations a question nests: 0 in (is red circle), 2 in (is red (above (above circle)))."""
    return sum(query.count(f"({word} ") for word in STEPS)
