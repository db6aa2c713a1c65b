"""The embedded caption data set: drawn scenes in Karpathy's COCO file.

    <folder>/dataset_coco.json                       five captions a picture
    <folder>/train2014/COCO_train2014_000004000000.png, val2014/...

A caption tells how many things there are, the first of them in reading order and the last; five people
say it in five ways. A tenth of the training pictures are Karpathy's restval. No picture occurs twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.language import DIRECTIONS
from data_modules.scenes.scene import Scene, Thing, random_scene


def write(folder: Path, *, seed: int = 0, train: int = 3000, val: int = 200, test: int = 500) -> None:
    """Draws the splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same files everywhere.
        train: pictures of train and restval together.
        val: pictures of val.
        test: pictures of test.
    """
    seen: set[Scene] = set()
    images: list[dict[str, Any]] = []
    for number, (split, size) in enumerate({"train": train, "val": val, "test": test}.items()):
        # + 4,000: no other world draws from these seeds.
        random = RandomState((seed + 4000) * 10 + number)
        for place in range(size):
            scene = random_scene(random)
            while scene in seen:
                scene = random_scene(random)
            seen.add(scene)
            word = "restval" if split == "train" and place % 10 == 9 else split
            row = _row(len(images), 4_000_000 + len(images), word, scene)
            (folder / row["filepath"]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(scene.draw()).save(folder / row["filepath"] / row["filename"])
            images.append(row)
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))


def _row(number: int, image_id: int, split: str, scene: Scene) -> dict[str, Any]:
    folder = "train2014" if split == "train" else "val2014"
    sentences = [
        {"raw": text, "tokens": text.replace(",", "").split(), "imgid": number, "sentid": number * 5 + place}
        for place, text in enumerate(captions(scene))
    ]
    return {
        "filepath": folder,
        "filename": f"COCO_{folder}_{image_id:012d}.png",
        "split": split,
        "imgid": number,
        "cocoid": image_id,
        "sentids": [sentence["sentid"] for sentence in sentences],
        "sentences": sentences,
    }


def captions(scene: Scene) -> list[str]:
    """Five captions that say the same in five ways."""
    first, last = scene.things[0], scene.things[-1]
    side = _side(first, last)
    n = len(scene.things)
    return [
        f"a {_name(first)} {side} a {_name(last)}",
        f"there is a {_name(first)} {side} a {_name(last)}",
        f"{n} things, a {_name(first)} is {side} a {_name(last)}",
        f"there are {n} things and the {_name(first)} is {side} the {_name(last)}",
        f"a {_name(first)} is {side} a {_name(last)}, there are {n} things",
    ]


def _name(thing: Thing) -> str:
    return f"{thing.size} {thing.name}"


def _side(a: Thing, b: Thing) -> str:
    """On which side of `b` the thing `a` lies: above wherever that is true, as it is read first."""
    return "above" if DIRECTIONS["above"](a, b) else "left of"
