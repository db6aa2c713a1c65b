"""The world of boxes in the official files of Cornell NLVR: statements as JSON lines, pictures as PNG."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
from PIL import Image

from data_modules.scenes.boxes import ask, families
from data_modules.scenes.boxes_meaning import Bank
from data_modules.scenes.boxes_pictures import Scene, described, paint, scattered, side_by_side, towers
from data_modules.scenes.boxes_words import Speaker

ORDERS = tuple(permutations(range(3)))
"""Which box stands first, second, third in permutation k = 0..5, as in the published pictures."""


def write(
    folder: Path,
    *,
    seed: int = 0,
    train_statements: int = 400,
    dev_statements: int = 60,
    test_statements: int = 60,
) -> None:
    """Writes train/train_gold.json, dev/dev.json and test/test.json with their pictures.

    A presentation is a statement with one picture of which it is true and one of which it is false; each
    picture comes in all six orders of its boxes. Splits share neither presentations nor scenes.

    Args:
        folder: where the files go; it exists.
        seed: of everything drawn.
        train_statements: rows of train, an even number.
        dev_statements: rows of dev, an even number.
        test_statements: rows of test, an even number.
    """
    first = 0
    sizes = {"train": train_statements, "dev": dev_statements, "test": test_statements}
    for number, (split, rows) in enumerate(sizes.items()):
        rng = np.random.RandomState([seed, number])
        _write_split(Path(folder), split, rows // 2, first, rng)
        first += rows // 2


def _write_split(
    folder: Path, split: str, presentations: int, first: int, rng: np.random.RandomState
) -> None:
    images = folder / split / "images" / "0"
    images.mkdir(parents=True)
    lines: list[dict[str, object]] = []
    while len(lines) < 2 * presentations:
        bank = Bank(families(rng, towers if rng.randint(2) else scattered))
        speaker = Speaker(rng, bank.scenes[0])
        for _ in range(8):
            asked = ask(speaker, bank)
            if asked is None or len(lines) >= 2 * presentations:
                continue
            text, pair = asked
            places = rng.permutation(2)
            for label, scene in zip(("true", "false"), pair, strict=True):
                identifier = f"{first + len(lines) // 2}-{places[int(label == 'true')]}"
                lines.append(
                    {
                        "sentence": text[:1].upper() + text[1:],
                        "label": label,
                        "identifier": identifier,
                        "directory": "0",
                        "structured_rep": described(bank.scenes[scene]),
                    }
                )
                _write_pictures(images, f"{split}-{identifier}", bank.scenes[scene])
    name = "train_gold" if split == "train" else split
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / split / f"{name}.json").write_text(text, encoding="utf-8")


def _write_pictures(folder: Path, name: str, scene: Scene) -> None:
    pixels = paint(scene)
    for k, order in enumerate(ORDERS):
        Image.fromarray(side_by_side(pixels[list(order)])).save(folder / f"{name}-{k}.png")
