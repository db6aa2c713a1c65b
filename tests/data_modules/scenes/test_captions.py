"""The drawn caption world in Karpathy's file: splits, pictures, five captions each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from data_modules.formats import CocoCaptions
from data_modules.scenes import captions


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("captions")
    captions.write(path, seed=0, train=60, val=10, test=20)
    return path


def test_the_official_reader_reads_every_split_and_finds_the_pictures(folder):
    found = {
        split: [row for row, _ in CocoCaptions().rows(folder, split)]
        for split in ("train", "val", "test", "train:pictures")
    }
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 300,
        "val": 10,
        "test": 20,
        "train:pictures": 60,
    }
    assert all((folder / row["images"][0].path).is_file() for rows in found.values() for row in rows)
    assert all(len(row["captions"]) == 5 for row in found["test"])


def test_a_tenth_of_the_training_pictures_is_restval(folder):
    images = json.loads((folder / "dataset_coco.json").read_text())["images"]
    counts = Counter((image["split"], image["filepath"]) for image in images)
    assert counts == {
        ("train", "train2014"): 54,
        ("restval", "val2014"): 6,
        ("val", "val2014"): 10,
        ("test", "val2014"): 20,
    }


def test_no_picture_comes_twice_and_a_seed_gives_the_same_files(folder, tmp_path):
    pixels = [Image.open(path).tobytes() for path in folder.rglob("*.png")]
    assert len(set(pixels)) == len(pixels) == 90
    captions.write(tmp_path, seed=0, train=5, val=2, test=2)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*.*")):
        content = Image.open(path).tobytes() if path.suffix == ".png" else path.read_bytes()
        digest.update(path.name.encode() + content)
    assert digest.hexdigest() == "5e660161a7f7c12814f7ea2dcd1f7a06c63ff4123ea3e37501b0249ce1c8f761"
