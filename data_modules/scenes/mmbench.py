"""The embedded MMBench: multiple choice about drawn scenes in one table, the pictures inside it.

    <folder>/mmbench_dev_20230712.tsv

Every question is asked once for each of its options, which move round by one place from row to row (circular
evaluation): row k of a question has its index plus k million, and names the row that holds the picture.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable
from pathlib import Path

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.benchmark_files import different_scenes, every_pair, pairs_of
from data_modules.scenes.scene import COLOURS, HELD_OUT, SHAPES, Scene

LETTERS = "ABCD"
CIRCLE = 1_000_000
COLUMNS = (
    *(
        "index",
        "question",
        "hint",
        "A",
        "B",
        "C",
        "D",
        "answer",
        "category",
        "image",
        "source",
        "l2-category",
    ),
    *("comment", "split"),
)

Asked = tuple[str, str, tuple[str, ...]]
"""Hint, question, and the options, the right one first."""


def write(folder: Path, *, seed: int = 0, pictures: int = 60) -> None:
    """Draws the world into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        pictures: how many, a question each.
    """
    random = RandomState(seed + 35_000)  # no other world draws from these seeds
    rows = []
    for index, scene in enumerate(different_scenes(random, pictures), start=1):
        category = tuple(KINDS)[index % len(KINDS)]
        kind, level = KINDS[category]
        hint, question, options = kind(scene, random)
        order = random.permutation(len(options))
        shuffled = [options[i] for i in order]
        for turn in range(len(shuffled)):
            turned = shuffled[turn:] + shuffled[:turn]
            rows.append(
                {
                    "index": str(index + turn * CIRCLE),
                    "question": question,
                    "hint": hint,
                    **dict(zip(LETTERS, turned, strict=False)),
                    "answer": LETTERS[turned.index(options[0])],
                    "category": category,
                    "image": str(index) if turn else _inlaid(scene),
                    "source": "drawn",
                    "l2-category": level,
                    "split": "dev",
                }
            )
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mmbench_dev_20230712.tsv").write_text(text.getvalue())


def _inlaid(scene: Scene) -> str:
    buffer = io.BytesIO()
    Image.fromarray(scene.draw()).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _thing(scene: Scene, random: RandomState) -> Asked:
    there = pairs_of(scene)
    others = [pair for pair in every_pair() if pair not in there and pair not in HELD_OUT]
    wrong = [others[i] for i in random.permutation(len(others))[:3]]
    right = there[random.randint(len(there))]
    return "", "Which thing is there?", tuple(" ".join(pair) for pair in (right, *wrong))


def _number(scene: Scene, random: RandomState) -> Asked:
    right = len(scene.things)
    wrong = [n for n in range(2, 8) if n != right]
    options = (right, *(wrong[i] for i in random.permutation(len(wrong))[:3]))
    return "", "How many things are there?", tuple(map(str, options))


def _colour(scene: Scene, random: RandomState) -> Asked:
    shapes = [thing.shape for thing in scene.things]
    single = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    if not single:
        return _thing(scene, random)
    thing = single[random.randint(len(single))]
    wrong = [colour for colour in COLOURS if colour != thing.colour]
    chosen = [wrong[i] for i in random.permutation(len(wrong))[:3]]
    return "", f"What color is the {thing.shape}?", (thing.colour, *chosen)


def _shape(scene: Scene, random: RandomState) -> Asked:
    colours = [thing.colour for thing in scene.things]
    single = [thing for thing in scene.things if colours.count(thing.colour) == 1]
    if not single:
        return _thing(scene, random)
    thing = single[random.randint(len(single))]
    wrong = [shape for shape in SHAPES if shape != thing.shape]
    chosen = [wrong[i] for i in random.permutation(len(wrong))[:3]]
    return "", f"What shape is the {thing.colour} thing?", (thing.shape, *chosen)


def _north(scene: Scene, random: RandomState) -> Asked:
    things = scene.unique_things()
    pairs = [(a, b) for a in things for b in things if a.row < b.row]
    if not pairs:
        return _thing(scene, random)
    upper, lower = pairs[random.randint(len(pairs))]
    return "Up is north.", "Which is further north?", (f"the {upper.name}", f"the {lower.name}")


KINDS: dict[str, tuple[Callable[[Scene, RandomState], Asked], str]] = {
    "object_localization": (_thing, "finegrained_perception"),
    "counting": (_number, "finegrained_perception"),
    "attribute_color": (_colour, "attribute_reasoning"),
    "attribute_shape": (_shape, "attribute_reasoning"),
    "spatial_relationship": (_north, "relation_reasoning"),
}
