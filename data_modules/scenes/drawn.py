"""Drawn: one sample of an embedded world, as pretraining reads it.

A pretraining world is a module of this folder with `CELL_CHANNELS` (names of the C dense labels) and
`samples(seed, count)`, an iterator over `Drawn`; `tools/pretrain_tiny` reads nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Drawn:
    """One sample: its pictures, what every grid cell holds, and questions about it.

    Args:
        pixels: (I, height, width, 3) uint8, red, green, blue; I pictures of one size.
        cells: (I, G, G, C) bool: what the object centred in each cell of a G x G grid is; rows from
            the top, columns from the left; the channels are named by the world.
        questions: (kind, prompt, target) triples; kind groups the scores.
    """

    pixels: np.ndarray
    cells: np.ndarray
    questions: tuple[tuple[str, str, str], ...]
