"""What a vision tower can be taught of boxes: what every grid cell holds, and facts of whole boxes.

Letters: S = scenes, 3 = boxes, G = 6 cells a side (100 / 6 pixels each), C = cell channels, K = facts.
"""

from __future__ import annotations

import numpy as np

from data_modules.scenes.boxes_meaning import Bank
from data_modules.scenes.boxes_pictures import BOX, COLOURS, SHAPES, SIZES

GRID = 6
COLOURED_SHAPES = tuple(f"{c} {s}" for c in COLOURS for s in SHAPES)

CELL_CHANNELS = (
    *(f"{c} {s} {z}" for c in COLOURS for s in SHAPES for z in SIZES),
    *(f"two {c}" for c in COLOURS),
    *(f"two {s}" for s in SHAPES),
    "two",
    "three",
    *(f"{kind} at {wall}" for wall in ("left", "top", "right", "bottom") for kind in (*COLOURS, *SHAPES)),
    "in the left half",
    "in the upper half",
)


def cells(bank: Bank) -> np.ndarray:
    """(S, 3, G, G, C) bool: what the things centred in each cell are, see CELL_CHANNELS."""
    count = np.zeros((*bank.height.shape, GRID, GRID, len(CELL_CHANNELS)), np.int8)
    s, b, n = np.nonzero(bank.there)
    colour, shape = bank.colour[s, b, n], bank.shape[s, b, n]
    side = np.searchsorted(SIZES, bank.size[s, b, n])
    twice_x = 2 * bank.x[s, b, n] + bank.size[s, b, n]
    twice_y = 2 * bank.y[s, b, n] + bank.size[s, b, n]
    column, row = twice_x * GRID // (2 * BOX), twice_y * GRID // (2 * BOX)

    def add(channel: np.ndarray | int, chosen: np.ndarray | slice = slice(None)) -> None:
        channel = np.broadcast_to(channel, s.shape)[chosen]
        np.add.at(count, (s[chosen], b[chosen], row[chosen], column[chosen], channel), 1)

    add(colour * 9 + shape * 3 + side)
    add(27 + colour)
    add(30 + shape)
    add(33)
    add(34)
    for number, wall in enumerate((bank.left, bank.roof, bank.right, bank.floor)):
        touching = wall[s, b, n]
        add(35 + 6 * number + colour, touching)
        add(38 + 6 * number + shape, touching)
    add(59, twice_x * GRID % (2 * BOX) < BOX)
    add(60, twice_y * GRID % (2 * BOX) < BOX)
    least = np.ones(len(CELL_CHANNELS), np.int8)
    least[27:34] = 2
    least[34] = 3
    return count >= least


def _kinds(bank: Bank) -> np.ndarray:
    """(S, 3, N, 16) bool: any thing, three colours, three shapes, nine coloured shapes."""
    colours = np.stack([bank.colour == c for c in range(3)], -1)
    shapes = np.stack([bank.shape == s for s in range(3)], -1)
    both = (colours[..., :, None] & shapes[..., None, :]).reshape(*bank.there.shape, 9)
    return np.concatenate([bank.there[..., None], colours, shapes, both], -1)


_KIND_NAMES = ("thing", *COLOURS, *SHAPES, *COLOURED_SHAPES)


def _at_least(counts: np.ndarray, names: tuple[str, ...], most: int) -> tuple[list[str], np.ndarray]:
    """Counts (S, 3, n) as facts `at least 1..most`."""
    told = counts[..., None] >= np.arange(1, most + 1)
    return [f"{name} >= {k}" for name in names for k in range(1, most + 1)], told.reshape(
        *counts.shape[:2], -1
    )


def _pairs(relation: np.ndarray, traits: np.ndarray) -> np.ndarray:
    """(S, 3, 9): whether a thing of trait i stands in the relation to one of trait j."""
    linked = np.einsum("sbij,sbip,sbjq->sbpq", *(a.astype(np.float32) for a in (relation, traits, traits)))
    return (linked > 0).reshape(*relation.shape[:2], 9)


def facts(bank: Bank) -> dict[str, tuple[list[str], np.ndarray]]:
    """Facts of whole boxes by group: names of the group's facts and their truth (S, 3, number of facts)."""
    kinds = _kinds(bank)
    sizes = np.stack([bank.size == z for z in SIZES], -1)
    count = kinds.sum(-2)

    def inside(place: np.ndarray, most: int) -> tuple[list[str], np.ndarray]:
        return _at_least((kinds & place[..., None]).sum(-2), _KIND_NAMES, most)

    def joined(*parts: tuple[list[str], np.ndarray]) -> tuple[list[str], np.ndarray]:
        return [n for names, _ in parts for n in names], np.concatenate([v for _, v in parts], -1)

    def alike(values: np.ndarray, name: str) -> tuple[list[str], np.ndarray]:
        return [f"{k} {name}" for k in (1, 2, 3)], values[..., None] == np.arange(1, 4)

    colours, shapes = kinds[..., 1:4], kinds[..., 4:7]
    sized = (sizes[..., :, None] & kinds[..., None, 1:7]).any(2).reshape(*count.shape[:2], -1)
    sized_names = [f"{z} {k}" for z in SIZES for k in (*COLOURS, *SHAPES)]
    top = (bank.top[..., None] & kinds[..., 1:7]).any(2)
    level = [bank.level(n) if bank.towers else bank.nothing for n in (0, 1, 2, 3, -2)]
    levels = np.concatenate([(place[..., None] & colours).any(2) for place in level], -1)
    level_names = [f"level {n} {c}" for n in (0, 1, 2, 3, -2) for c in COLOURS]
    tower = np.full((*count.shape[:2], 1), bank.towers)
    colour_pairs = [f"{a} {{}} {b}" for a in COLOURS for b in COLOURS]
    shape_pairs = [f"{a} {{}} {b}" for a in SHAPES for b in SHAPES]
    return {
        "colours": joined(
            _at_least(count[..., :1], ("thing",), 7),
            _at_least(count[..., 1:4], COLOURS, 5),
            alike(bank.colours(bank.there), "colours"),
        ),
        "shapes": joined(
            _at_least(count[..., 4:7], SHAPES, 5),
            _at_least(sizes.sum(-2), tuple(map(str, SIZES)), 4),
            alike(bank.shapes(bank.there), "shapes"),
            (sized_names, sized),
        ),
        "kinds": _at_least(count[..., 7:], COLOURED_SHAPES, 4),
        "wall": inside(bank.wall, 4),
        "free": inside(bank.there & ~bank.wall, 4),
        "floor": inside(bank.floor, 3),
        "corner": joined(inside(bank.corner, 1), inside(bank.right, 2)),
        "sides": joined(inside(bank.left, 1), inside(bank.roof, 1)),
        "order": joined(
            (["tower"], tower),
            ([f"top {k}" for k in (*COLOURS, *SHAPES)], top),
            (level_names, levels),
            ([p.format("above") for p in colour_pairs], _pairs(bank.above, colours)),
        ),
        "pairs": joined(
            ([p.format("above") for p in shape_pairs], _pairs(bank.above, shapes)),
            ([p.format("beside") for p in colour_pairs], _pairs(bank.beside, colours)),
            ([p.format("beside") for p in shape_pairs], _pairs(bank.beside, shapes)),
        ),
    }
