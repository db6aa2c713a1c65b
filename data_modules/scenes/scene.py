"""Scene: a few coloured things on a plain ground, with everything known about them.

Drawn with integer masks and numpy's frozen random stream (RandomState, NEP 19), so a seed gives
the same pixels on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState

SIDE = 96
GRID = 6
CELL = SIDE // GRID

COLOURS = {
    "red": (214, 40, 40),
    "green": (44, 160, 60),
    "blue": (40, 80, 216),
    "yellow": (232, 208, 32),
    "purple": (148, 52, 178),
    "orange": (240, 132, 24),
}
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
SIZES = {"small": 6, "large": 10}  # half the extent, in pixels

# Pairs that no training, validation or pretraining picture holds: the composition split asks
# about them.
HELD_OUT = frozenset({("red", "triangle"), ("green", "circle"), ("blue", "diamond"), ("purple", "square")})

CELL_CHANNELS = (*COLOURS, *SHAPES, *SIZES, "thing")


@dataclass(frozen=True)
class Thing:
    """One thing; `row` and `column` are its grid cell, `x` and `y` its centre in pixels."""

    colour: str
    shape: str
    size: str
    row: int
    column: int
    x: int
    y: int
    shade: int

    @property
    def pair(self) -> tuple[str, str]:
        return self.colour, self.shape

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Things in reading order (row by row) on a ground of one grey."""

    things: tuple[Thing, ...]
    ground: int

    def draw(self) -> np.ndarray:
        """(96, 96, 3) uint8."""
        canvas = np.full((SIDE, SIDE, 3), self.ground, dtype=np.uint8)
        for thing in self.things:
            mask = _MASKS[thing.shape, thing.size]
            reach = mask.shape[0] // 2
            window = canvas[
                thing.y - reach : thing.y + reach + 1,
                thing.x - reach : thing.x + reach + 1,
            ]
            colour = np.clip(np.array(COLOURS[thing.colour]) + thing.shade, 0, 255)
            window[mask] = colour.astype(np.uint8)
        return canvas

    def cells(self) -> np.ndarray:
        """(6, 6, C) bool: what lies in each grid cell, channels as in `CELL_CHANNELS`."""
        cells = np.zeros((GRID, GRID, len(CELL_CHANNELS)), dtype=bool)
        for thing in self.things:
            for word in (thing.colour, thing.shape, thing.size, "thing"):
                cells[thing.row, thing.column, CELL_CHANNELS.index(word)] = True
        return cells

    def unique_things(self) -> list[Thing]:
        """Things whose colour and shape no other thing of the scene shares."""
        pairs = [thing.pair for thing in self.things]
        return [thing for thing in self.things if pairs.count(thing.pair) == 1]


def random_scene(random: RandomState, *, held_out: bool = False) -> Scene:
    """A scene of 3 to 6 things drawn from a few colours and shapes, so that some repeat.

    Args:
        random: the stream to draw from.
        held_out: False keeps all `HELD_OUT` pairs away, True puts at least one in.
    """
    colours = random.permutation(len(COLOURS))[: random.randint(2, 5)]
    shapes = random.permutation(len(SHAPES))[: random.randint(2, 5)]
    cells = _apart(random, random.randint(3, 7))
    colour_words, special = tuple(COLOURS), random.randint(len(cells))
    things = []
    for number, (row, column) in enumerate(cells):
        while True:
            pair = (
                colour_words[colours[random.randint(len(colours))]],
                SHAPES[shapes[random.randint(len(shapes))]],
            )
            if pair not in HELD_OUT:
                break
            if held_out:
                break
            colours = random.permutation(len(COLOURS))[: len(colours)]
        if held_out and number == special:
            pair = sorted(HELD_OUT)[random.randint(len(HELD_OUT))]
        size = tuple(SIZES)[random.randint(2)]
        jitter = 3 - (size == "large")
        x, y = (
            int(np.clip(cell * CELL + CELL // 2 + random.randint(-jitter, jitter + 1), 10, SIDE - 11))
            for cell in (column, row)
        )
        things.append(Thing(*pair, size, row, column, x, y, int(random.randint(-16, 17))))
    things.sort(key=lambda thing: (thing.row, thing.column))
    return Scene(tuple(things), int(random.randint(200, 246)))


def _apart(random: RandomState, count: int) -> list[tuple[int, int]]:
    """`count` grid cells, no two of them neighbours (not even at a corner)."""
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count:
        chosen = []
        for number in random.permutation(GRID * GRID):
            row, column = divmod(int(number), GRID)
            if all(max(abs(row - r), abs(column - c)) > 1 for r, c in chosen):
                chosen.append((row, column))
            if len(chosen) == count:
                break
    return chosen


def _mask(shape: str, half: int) -> np.ndarray:
    """(2 half + 1)² bool silhouette, by integer comparisons only."""
    dy, dx = np.mgrid[-half : half + 1, -half : half + 1]
    width, arm = half * 9 // 10, half // 3
    return {
        "circle": dx * dx + dy * dy <= half * half,
        "square": (abs(dx) <= width) & (abs(dy) <= width),
        "triangle": 2 * abs(dx) <= dy + half,
        "diamond": abs(dx) + abs(dy) <= half,
        "cross": (abs(dx) <= arm) | (abs(dy) <= arm),
    }[shape]


_MASKS = {(shape, size): _mask(shape, half) for shape in SHAPES for size, half in SIZES.items()}
