"""NLVR2's drawn world: labels judged by reading the sentences, balance, files."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from importlib import resources
from pathlib import Path

import pytest
from numpy.random import RandomState
from PIL import Image

from data_modules.formats import NLVR2 as Reader
from data_modules.scenes import nlvr2
from data_modules.scenes.scene import random_scene
from data_modules.scenes.statements import STATEMENTS


def number(scene, words: str) -> int:
    given = set(words.split()) - {"things", "thing"}
    given = {word.removesuffix("es") if word == "crosses" else word.removesuffix("s") for word in given}
    return sum(given <= {t.colour, t.shape.removesuffix("s"), t.size, t.shape} for t in scene.things)


def judged(pair, sentence: str) -> bool:
    """Whether the sentence holds, by reading it."""
    sides = dict(zip(("left", "right"), pair, strict=True))
    if m := re.fullmatch(r"there are (\d) (\w+ things)", sentence):
        return sum(number(scene, m[2]) for scene in pair) == int(m[1])
    if m := re.fullmatch(r"there are (\d) (\w+ things) on the (\w+)", sentence):
        return number(sides[m[3]], m[2]) == int(m[1])
    if m := re.fullmatch(r"there are no (\w+ \w+) on the (\w+)", sentence):
        return number(sides[m[2]], m[1]) == 0
    if m := re.fullmatch(r"there are more (\w+ things) on the (\w+) than on the (\w+)", sentence):
        return number(sides[m[2]], m[1]) > number(sides[m[3]], m[1])
    if m := re.fullmatch(r"there is a (\w+ \w+) on the left and on the right", sentence):
        return all(number(scene, m[1]) for scene in pair)
    m = re.fullmatch(r"there is a (\w+ \w+) on the (\w+)", sentence)
    return number(sides[m[2]], m[1]) > 0


def test_every_label_is_what_reading_the_sentence_gives():
    random = RandomState(21)
    pairs = [(random_scene(random), random_scene(random)) for _ in range(60)]
    labels: Counter[tuple[str, bool]] = Counter()
    for kind, statements in STATEMENTS.items():
        for statement in statements():
            for pair in pairs:
                assert statement.holds(pair) == judged(pair, statement.sentence), statement.sentence
                labels[kind, statement.holds(pair)] += 1
    assert all(labels[kind, label] > 30 for kind in STATEMENTS for label in (True, False)), labels


def test_every_word_is_one_token_of_the_base_whose_token_table_is_frozen():
    base = resources.files("vl_dora").joinpath("bases/tiny_scenes/tokenizer.json")
    vocabulary = json.loads(base.read_text())["model"]["vocab"]
    said = {word for kind in STATEMENTS.values() for s in kind() for word in s.sentence.split()}
    assert said <= set(vocabulary)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("nlvr2")
    nlvr2.write(path, seed=0, train=101, dev=6, test1=16)
    return path


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.json").read_text().splitlines()]


def test_the_official_reader_reads_every_split_and_finds_the_pictures(folder):
    assert Reader().splits(folder) == ("train", "val", "test", "dev", "test1")
    for split in ("train", "val", "test"):
        read = [row for row, _ in Reader().rows(folder, split)]
        assert all((folder / image.path).is_file() for row in read for image in row["images"])
        assert len(read) == 8 * {"train": 101, "val": 6, "test": 16}[split]
    assert "images/train/1/" in [row for row, _ in Reader().rows(folder, "train")][-1]["images"][0].path


def test_every_sentence_has_four_pairs_two_of_each_label(folder):
    for name in ("train", "dev", "test1"):
        by_statement = defaultdict(list)
        texts = defaultdict(set)
        for row in rows(folder, name):
            split, number_, pair, sentence = row["identifier"].split("-")
            by_statement[split, number_, sentence].append((pair, row["label"]))
            texts[split, number_, sentence].add(row["sentence"])
        assert all(sorted(p for p, _ in found) == ["0", "1", "2", "3"] for found in by_statement.values())
        assert all(
            sorted(label for _, label in f) == ["False"] * 2 + ["True"] * 2 for f in by_statement.values()
        )
        assert all(len(found) == 1 for found in texts.values())


def test_a_balanced_pair_has_both_labels_and_the_subsets_are_a_partition(folder):
    subsets = {row["identifier"]: row["subset"] for row, _ in Reader().rows(folder, "test")}
    labels = defaultdict(set)
    for row in rows(folder, "test1"):
        labels[row["identifier"].rpartition("-")[0]].add(row["label"])
    assert len(subsets) == 128
    for identifier, subset in subsets.items():
        assert (subset == "balanced") == (len(labels[identifier.rpartition("-")[0]]) == 2)
    assert min(Counter(subsets.values()).values()) > 30


def test_kinds_of_statements_come_equally_often(folder):
    known = {f"{s.sentence}.": kind for kind, statements in STATEMENTS.items() for s in statements()}
    kinds = Counter(known[row["sentence"].lower()] for row in rows(folder, "train"))
    assert set(kinds) == set(STATEMENTS) and max(kinds.values()) < 1.3 * min(kinds.values())


def test_splits_share_no_picture_and_a_seed_gives_the_same_files(folder, tmp_path):
    pixels = {
        name: {hashlib.sha256(Image.open(p).tobytes()).digest() for p in folder.rglob(f"{name}-*.png")}
        for name in ("train", "dev", "test1")
    }
    assert len(pixels["train"]) == 101 * 8
    assert not pixels["train"] & pixels["dev"] and not pixels["train"] & pixels["test1"]
    assert not pixels["dev"] & pixels["test1"]
    nlvr2.write(tmp_path, seed=0, train=3, dev=1, test1=1)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*.*")):
        content = Image.open(path).tobytes() if path.suffix == ".png" else path.read_bytes()
        digest.update(path.name.encode() + content)
    assert digest.hexdigest() == "9002d57dd25b1e144e63c069ef66cc1732a1b10fe9d122ede6a3e13d76d4b944"
