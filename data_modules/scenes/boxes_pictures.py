"""Boxes: three grey boxes of circles, triangles and squares, drawn as Cornell NLVR draws them.

Source of the look: the published pictures and the `structured_rep` of the Cornell NLVR corpus (Suhr et al.
2017): boxes of 100 x 100 pixels, things of 10, 20 or 30 pixels in three colours, at least one pixel apart,
either towers of up to four blocks or up to seven things strewn about. Edges are smoothed by the coverage
tables below, read off the published pictures; all arithmetic is on integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BOX = 100
SHAPES = ("circle", "square", "triangle")
COLOURS = ("black", "blue", "yellow")
SIZES = (10, 20, 30)
GROUND = (211, 211, 211)
BETWEEN = (128, 128, 128)
PAINT = ((0, 0, 0), (0, 153, 255), (255, 255, 0))
TOWER_LEFT = 40
TOWER_TOPS = (80, 59, 38, 17)


class Thing(NamedTuple):
    """One thing of a box: indices into SHAPES and COLOURS, its side and its left top corner in pixels."""

    shape: int
    colour: int
    size: int
    x: int
    y: int

    @property
    def walls(self) -> tuple[bool, bool, bool, bool]:
        """Whether it touches the left, top, right and bottom wall."""
        return self.x == 0, self.y == 0, self.x + self.size == BOX, self.y + self.size == BOX


Box = tuple[Thing, ...]
Scene = tuple[Box, ...]  # three boxes

# Circles, upper left quadrant: for each row the empty pixels at its start and the partly covered ones after
# them (of 255); the rest of the row is covered. The other quadrants mirror it.
_ARCS = {
    10: ((2, (64, 191, 238)), (1, (128,)), (0, (64,)), (0, (192,)), (0, (239,))),
    20: (
        (6, (80, 127, 191, 238)),
        (4, (48, 207)),
        (3, (128,)),
        (2, (128,)),
        (1, (48,)),
        (1, (208,)),
        (0, (80,)),
        (0, (128,)),
        (0, (192,)),
        (0, (239,)),
    ),
    30: (
        (10, (80, 143, 191, 207)),
        (7, (17, 127, 238)),
        (6, (97, 238)),
        (5, (144,)),
        (4, (160,)),
        (3, (144,)),
        (2, (97,)),
        (1, (17, 238)),
        (1, (128,)),
        (1, (239,)),
        (0, (80,)),
        (0, (144,)),
        (0, (192,)),
        (0, (224,)),
        (0, ()),
    ),
}


def _coverage(shape: int, size: int) -> np.ndarray:
    """(size, size) int64, 0..255: how much of each pixel the shape covers."""
    cover = np.full((size, size), 255, np.int64)
    half = size // 2
    if SHAPES[shape] == "circle":
        for row, (empty, edge) in enumerate(_ARCS[size]):
            cover[row, :empty] = 0
            cover[row, empty : empty + len(edge)] = edge
        quadrant = cover[:half, :half]
        cover[:half, half:] = quadrant[:, ::-1]
        cover[half:] = cover[:half][::-1]
    elif SHAPES[shape] == "triangle":
        for row in range(size):
            left = half - 1 - row // 2
            cover[row, :left] = 0
            cover[row, left] = 191 if row % 2 else 64
            cover[row, half:] = cover[row, :half][::-1]
    return cover


def _sprite(shape: int, colour: int, size: int) -> np.ndarray:
    cover = _coverage(shape, size)[..., None]
    mixed = cover * np.array(PAINT[colour]) + (255 - cover) * np.array(GROUND)
    return ((mixed + 127) // 255).astype(np.uint8)


_SPRITES = {(s, c, z): _sprite(s, c, z) for s in range(3) for c in range(3) for z in SIZES}


def paint(scene: Scene) -> np.ndarray:
    """The pictures of the boxes: (3, 100, 100, 3) uint8."""
    pixels = np.empty((len(scene), BOX, BOX, 3), np.uint8)
    pixels[:] = GROUND
    for picture, box in zip(pixels, scene, strict=True):
        for thing in box:
            rows, columns = slice(thing.y, thing.y + thing.size), slice(thing.x, thing.x + thing.size)
            picture[rows, columns] = _SPRITES[thing.shape, thing.colour, thing.size]
    return pixels


def side_by_side(pixels: np.ndarray) -> np.ndarray:
    """The official picture (100, 400, 3): three boxes with 50 dark pixels between them."""
    whole = np.empty((BOX, 4 * BOX, 3), np.uint8)
    whole[:] = BETWEEN
    for place, picture in enumerate(pixels):
        whole[:, 150 * place : 150 * place + BOX] = picture
    return whole


def described(scene: Scene) -> list[list[dict[str, int | str]]]:
    """The official `structured_rep`: for every box its things by type, colour, place and size."""
    names = ("Black", "#0099ff", "Yellow")
    return [
        [
            {"y_loc": t.y, "type": SHAPES[t.shape], "color": names[t.colour], "x_loc": t.x, "size": t.size}
            for t in box
        ]
        for box in scene
    ]


def towers(rng: np.random.RandomState) -> Scene:
    """Three towers of one to four blocks each, colours drawn at random."""
    scene = []
    for height in rng.randint(1, 5, 3):
        colours = rng.randint(0, 3, height)
        scene.append(tuple(Thing(1, int(c), 20, TOWER_LEFT, y) for c, y in zip(colours, TOWER_TOPS)))  # noqa: B905
    return tuple(scene)


def apart(thing: Thing, others: Box) -> bool:
    """Whether at least one pixel of ground lies between a thing's square and every other one."""
    _, _, size, x, y = thing
    return not any(
        x <= o.x + o.size and o.x <= x + size and y <= o.y + o.size and o.y <= y + size for o in others
    )


def _strewn(rng: np.random.RandomState, others: Box, *, colour: int | None = None) -> Thing | None:
    """One more thing that fits beside the others; None when twenty tries found no room.

    A place is drawn over the whole box and pushed back inside, so that some things touch the right wall or
    the floor; now and then a thing is set against a wall or right next to another on purpose.
    """
    draws = rng.randint(0, 1 << 30, (20, 6))
    for shape, hue, size, x, y, habit in draws.tolist():
        size = SIZES[size % 3]
        x, y = min(x % BOX, BOX - size), min(y % BOX, BOX - size)
        habit %= 24
        if habit == 0:
            x = 0
        elif habit == 1:
            y = 0
        elif habit == 2:
            x, y = (x % 2) * (BOX - size), (y % 2) * (BOX - size)
        elif habit == 3 and others:
            near = others[x % len(others)]
            x, y = near.x + (near.size - size) // 2, near.y - size - 1
        elif habit == 4 and others:
            near = others[x % len(others)]
            x, y = near.x + near.size + 1, near.y + (near.size - size) // 2
        thing = Thing(shape % 3, hue % 3 if colour is None else colour, size, x, y)
        inside = 0 <= x <= BOX - size and 0 <= y <= BOX - size
        if inside and apart(thing, others):
            return thing
    return None


def scattered(rng: np.random.RandomState) -> Scene:
    """Three boxes of one to seven things each, of any kind, strewn about."""
    scene = []
    for number in rng.randint(1, 8, 3):
        box: Box = ()
        for _ in range(number):
            thing = _strewn(rng, box)
            box += () if thing is None else (thing,)
        scene.append(box)
    return tuple(scene)


def is_towers(scene: Scene) -> bool:
    return all(
        t.shape == 1 and t.size == 20 and t.x == TOWER_LEFT and t.y in TOWER_TOPS for b in scene for t in b
    )


def change(rng: np.random.RandomState, scene: Scene) -> Scene:
    """The scene with one small thing changed: a colour, a kind, a place, one thing more or fewer."""
    which = rng.randint(3)
    box = list(scene[which])
    step = rng.randint(6)
    spot = rng.randint(len(box))
    if is_towers(scene):
        if step < 4:
            box[spot] = box[spot]._replace(colour=(box[spot].colour + 1 + rng.randint(2)) % 3)
        elif step == 4 and len(box) < 4:
            box.append(Thing(1, rng.randint(3), 20, TOWER_LEFT, TOWER_TOPS[len(box)]))
        elif len(box) > 1:
            box.pop()
    elif step == 0:
        box[spot] = box[spot]._replace(colour=(box[spot].colour + 1 + rng.randint(2)) % 3)
    elif step == 1:
        box[spot] = box[spot]._replace(shape=(box[spot].shape + 1 + rng.randint(2)) % 3)
    elif step == 2 and len(box) > 1:
        box.pop(spot)
    elif step == 3 and len(box) < 7:
        more = _strewn(rng, tuple(box))
        box += [] if more is None else [more]
    else:
        old = box.pop(spot)
        more = _strewn(rng, tuple(box), colour=old.colour)
        box.insert(spot, old if more is None else more._replace(shape=old.shape))
    return tuple(tuple(box) if i == which else b for i, b in enumerate(scene))
