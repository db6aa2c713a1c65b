"""SHAPES pictures, drawn as the real ones are.

Measured on all 1,728 real pictures: 30 x 30 pixels, black; a cell of 10 x 10 pixels holds an object in four
cases of five, in its very middle. A circle of radius r, a square of side 2r, or a triangle with its tip r
above the middle and its base, 2r wide, r below it; r is 2.5 or 3.75 pixels, each up to a tenth more or less,
evenly. Edges are smoothed by area. A colour is full red, green or blue, each of its three channels moved
by up to 51 (a fifth of 255) and clipped.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from data_modules.scenes.shapes_logic import SHAPES, SIDE, Scenes

CELL = 10  # pixels
FINE = 32  # sub-pixels a pixel; all masks are integer arithmetic, hence equal on every machine
RADII = (*range(72, 89), *range(108, 133))  # sub-pixels: 2.25 to 2.75 and 3.375 to 4.125 pixels
COLOUR_NOISE = 51


@cache
def coverage() -> np.ndarray:
    """(shapes, radii, 10, 10): how many of a pixel's 32 x 32 sub-pixels are covered."""
    # Twice the sub-pixel centre's distance from the middle, so that everything stays an integer.
    x = 2 * np.arange(CELL * FINE) + 1 - CELL * FINE
    y, r = x[:, None], 2 * np.asarray(RADII)[:, None, None]
    inside = {
        "circle": x**2 + y**2 <= r**2,
        "square": np.maximum(abs(x), abs(y)) <= r,
        "triangle": (2 * abs(x) <= y + r) & (y <= r),
    }
    fine = np.stack([inside[shape] for shape in SHAPES])
    return fine.reshape(len(SHAPES), len(RADII), CELL, FINE, CELL, FINE).sum(axis=(3, 5))


def draw_scenes(count: int, random: np.random.RandomState) -> Scenes:
    """Random contents of `count` pictures: four cells of five filled, colours and shapes evenly."""
    size = (count, SIDE, SIDE)
    filled = _whole(random, 0, 5, size) > 0
    colours, shapes = _whole(random, 0, 3, size), _whole(random, 0, 3, size)
    return Scenes(np.where(filled, colours, -1), np.where(filled, shapes, -1))


def draw_pictures(scenes: Scenes, random: np.random.RandomState) -> np.ndarray:
    """(n, 30, 30, 3) uint8 pictures of these scenes: red, green, blue."""
    chunks = range(0, len(scenes), 1024)
    drawn = [_draw(scenes[i : i + 1024], random) for i in chunks]
    return np.concatenate(drawn) if drawn else np.zeros((0, SIDE * CELL, SIDE * CELL, 3), np.uint8)


def _draw(scenes: Scenes, random: np.random.RandomState) -> np.ndarray:
    size = scenes.shapes.shape
    large = _whole(random, 0, 2, size) == 1
    radius = np.where(large, _whole(random, 17, 42, size), _whole(random, 0, 17, size))
    pure = 255 * np.eye(3, dtype=np.int32)[scenes.colours]
    noise = _whole(random, -COLOUR_NOISE, COLOUR_NOISE + 1, pure.shape)
    colour = np.clip(pure + noise, 0, 255) * (scenes.shapes >= 0)[..., None]
    covered = coverage().astype(np.int32)[scenes.shapes, radius]  # (n, 3, 3, 10, 10)
    pixels = (covered[..., None] * colour[:, :, :, None, None] + FINE * FINE // 2) // FINE**2
    return pixels.swapaxes(2, 3).reshape(len(scenes), SIDE * CELL, SIDE * CELL, 3).astype(np.uint8)


def _whole(random: np.random.RandomState, low: int, high: int, size: tuple[int, ...]) -> np.ndarray:
    # The default type differs between platforms, and the stream with it.
    return random.randint(low, high, size=size, dtype=np.int64)
