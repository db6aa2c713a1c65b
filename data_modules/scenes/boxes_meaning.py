"""Bank: many drawn scenes as arrays, and what a phrase means on all of them at once.

Letters: S = scenes, 3 = boxes, N = 8 slots for things. A set of things is (S, 3, N) bool, a number per box
(S, 3) int, a truth (S,) bool. Towers list their blocks from the base up, so slot 0 is the base.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from data_modules.scenes.boxes_pictures import Scene, is_towers

SLOTS = 8
# What they return are arrays; numpy types comparisons of arrays as possibly plain bools.
Things = Callable[["Bank"], Any]
Number = Callable[[Any], Any]
Truth = Callable[["Bank"], Any]


class Bank:
    """Scenes of one kind (all towers, or all strewn) as arrays.

    Args:
        scenes: the scenes; boxes of at most eight things.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = tuple(scenes)
        self.towers = is_towers(scenes[0])
        table = np.full((len(scenes), 3, SLOTS, 5), -100, np.int64)
        for s, scene in enumerate(scenes):
            for b, box in enumerate(scene):
                if box:
                    table[s, b, : len(box)] = box
        self.shape, self.colour, self.size, self.x, self.y = np.moveaxis(table, -1, 0)
        self.there = self.shape >= 0
        self.nothing = np.zeros_like(self.there)

    @cached_property
    def left(self) -> np.ndarray:
        return self.x == 0

    @cached_property
    def roof(self) -> np.ndarray:
        return self.y == 0

    @cached_property
    def right(self) -> np.ndarray:
        return self.there & (self.x + self.size == 100)

    @cached_property
    def floor(self) -> np.ndarray:
        return self.there & (self.y + self.size == 100)

    @cached_property
    def wall(self) -> np.ndarray:
        return self.left | self.roof | self.right | self.floor

    @cached_property
    def corner(self) -> np.ndarray:
        return (self.left | self.right) & (self.roof | self.floor)

    @cached_property
    def height(self) -> np.ndarray:
        """Things in each box, (S, 3)."""
        return self.there.sum(-1)

    @cached_property
    def top(self) -> np.ndarray:
        """Towers: the uppermost block. Strewn: the thing whose upper side lies highest."""
        level = np.where(self.there, self.y, 1000)
        return self.there & (level == level.min(-1, keepdims=True))

    @cached_property
    def base(self) -> np.ndarray:
        """Towers: the lowest block. Strewn: the things on the floor."""
        if not self.towers:
            return self.floor
        base = self.nothing.copy()
        base[..., 0] = self.there[..., 0]
        return base

    def level(self, number: int) -> np.ndarray:
        """Towers: the block at a level, counted from the base at 0, or from the top at -1."""
        chosen = self.nothing.copy()
        if number >= 0:
            chosen[..., number] = self.there[..., number]
        else:
            place = self.height + number
            s, b = np.nonzero(place >= 0)
            chosen[s, b, place[s, b]] = True
        return chosen

    @cached_property
    def above(self) -> np.ndarray:
        """(S, 3, N, N) bool: thing i lies right above thing j: next level of a tower, or over it."""
        if self.towers:
            i, j = np.indices((SLOTS, SLOTS))
            return (i == j + 1) & self.there[..., :, None] & self.there[..., None, :]
        x, y, size = (a[..., :, None] for a in (self.x, self.y, self.size))
        u, v, side = (a[..., None, :] for a in (self.x, self.y, self.size))
        both = self.there[..., :, None] & self.there[..., None, :]
        return both & (y + size <= v) & (x < u + side) & (u < x + size)

    @cached_property
    def beside(self) -> np.ndarray:
        """(S, 3, N, N) bool: things i and j touch: not more than two pixels lie between them."""
        if self.towers:
            return self.above | np.swapaxes(self.above, -1, -2)
        x, y, size = (a[..., :, None] for a in (self.x, self.y, self.size))
        u, v, side = (a[..., None, :] for a in (self.x, self.y, self.size))
        gap = np.maximum(np.maximum(u - x - size, x - u - side), np.maximum(v - y - size, y - v - side))
        both = self.there[..., :, None] & self.there[..., None, :]
        return both & (gap <= 2) & ~np.eye(SLOTS, dtype=bool)

    def colours(self, things: np.ndarray) -> np.ndarray:
        """(S, 3) int: how many different colours these things have."""
        return sum(((self.colour == c) & things).any(-1).astype(np.int64) for c in range(3))

    def shapes(self, things: np.ndarray) -> np.ndarray:
        """(S, 3) int: how many different shapes these things have."""
        return sum(((self.shape == c) & things).any(-1).astype(np.int64) for c in range(3))


def kind(colour: int | None = None, shape: int | None = None, size: int | None = None) -> Things:
    """The things of a colour, a shape and a size; None admits any."""

    def things(bank: Bank) -> np.ndarray:
        chosen = bank.there
        chosen = chosen if colour is None else chosen & (bank.colour == colour)
        chosen = chosen if shape is None else chosen & (bank.shape == shape)
        return chosen if size is None else chosen & (bank.size == size)

    return things
