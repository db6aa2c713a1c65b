"""The drawn caption world: captions judged by reading them, five a picture, Karpathy's file."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from numpy.random import RandomState
from PIL import Image

from data_modules.formats import CocoCaptions
from data_modules.scenes import captions, world
from data_modules.scenes.scene import random_scene

THING = re.compile(r"(small|large) (\w+) (circle|square|triangle|diamond|cross)")


def test_five_captions_tell_two_things_their_places_and_the_number():
    random = RandomState(31)
    for _ in range(200):
        scene = random_scene(random)
        told = captions.captions(scene)
        assert len(set(told)) == 5
        first, last = scene.things[0], scene.things[-1]
        for text in told:
            found = [m.groups() for m in THING.finditer(text)]
            assert found == [(t.size, t.colour, t.shape) for t in (first, last)]
            assert ("above" in text) == (first.row < last.row) != ("left of" in text)
            assert first.row < last.row or first.column < last.column
            digits = re.findall(r"\d", text)
            assert digits in ([], [str(len(scene.things))])
        assert sum(bool(re.search(r"\d", text)) for text in told) == 3


def test_every_word_was_read_in_pretraining_and_no_caption_was():
    words, practised = set(), set()
    for drawn in world.samples(seed=6, count=300):
        for _, prompt, target in drawn.questions:
            practised.add(target)
            words |= set(re.findall(r"\w+", f"{prompt} {target}"))
    random = RandomState(32)
    said = {text for _ in range(200) for text in captions.captions(random_scene(random))}
    assert {word for text in said for word in re.findall(r"\w+", text)} <= words
    assert not said & practised


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
    assert digest.hexdigest() == "882af48fdec29b629f8b4282d2e510c5d465caa07a3c6b4a74a5762d8e85c7e4"
