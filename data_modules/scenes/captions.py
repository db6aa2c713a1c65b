"""The embedded caption data set: drawn scenes in Karpathy's COCO file.

    <folder>/dataset_coco.json                       five captions a picture
    <folder>/train2014/COCO_train2014_000004000000.png, val2014/...

Five people describe each picture (`data_modules.scenes.annotators`). A tenth of the training pictures are
Karpathy's restval. No picture occurs twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.annotators import captions
from data_modules.scenes.scene import Scene, random_scene


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
            row = _row(len(images), 4_000_000 + len(images), word, captions(scene, random))
            (folder / row["filepath"]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(scene.draw()).save(folder / row["filepath"] / row["filename"])
            images.append(row)
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))


def _row(number: int, image_id: int, split: str, texts: list[str]) -> dict[str, Any]:
    folder = "train2014" if split == "train" else "val2014"
    sentences = [
        {"raw": text, "tokens": text.replace(",", "").split(), "imgid": number, "sentid": number * 5 + place}
        for place, text in enumerate(texts)
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
