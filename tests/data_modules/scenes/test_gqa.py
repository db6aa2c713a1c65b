"""GQA's drawn world: answers judged by reading the questions, balance, entailed questions, files."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.random import RandomState
from PIL import Image

from data_modules.formats import GQA as Reader
from data_modules.scenes import gqa, world
from data_modules.scenes.gqa_questions import KINDS
from data_modules.scenes.scene import random_scene

SIDES = {
    "left of": lambda a, b: a.x < b.x,
    "right of": lambda a, b: a.x > b.x,
    "above": lambda a, b: a.y < b.y,
    "below": lambda a, b: a.y > b.y,
}


def named(scene, words: str) -> list:
    """The things of a scene that all the words fit."""
    given = set(words.split()) - {"thing"}
    return [t for t in scene.things if given <= {t.colour, t.shape, t.size}]


def judged(scene, question: str) -> str:
    """The answer by reading the question, from the things' pixel positions."""

    def say(fact: bool) -> str:
        return "yes" if fact else "no"

    if m := re.fullmatch(r"is there a (\w+) (and|or) a (\w+)\?", question):
        there = [bool(named(scene, m[1])), bool(named(scene, m[3]))]
        return say(all(there) if m[2] == "and" else any(there))
    if m := re.fullmatch(r"is there a ([\w ]+)\?", question):
        return say(bool(named(scene, m[1])))
    if m := re.fullmatch(r"what color is the ([\w ]+)\?", question):
        (thing,) = named(scene, m[1])
        return thing.colour
    if m := re.fullmatch(r"what is (left of|right of|above|below) the (\w+ \w+)\?", question):
        (mark,) = named(scene, m[2])
        (thing,) = [t for t in scene.things if on_side(m[1], t, mark)]
        return thing.shape
    if m := re.fullmatch(
        r"is the (\w+ \w+) (left of|above|right of|below) or ([a-z]+(?: of)?) the (.+)\?", question
    ):
        (a,), (b,) = named(scene, m[1]), named(scene, m[4])
        return m[2] if SIDES[m[2]](a, b) else m[3]
    if m := re.fullmatch(r"is the (\w+) (\w+) or (\w+)\?", question):
        (thing,) = named(scene, m[1])
        return thing.colour if thing.colour in (m[2], m[3]) else "neither"
    if m := re.fullmatch(r"is the ([\w ]+) (\w+)\?", question):
        (thing,) = named(scene, m[1])
        return say(thing.colour == m[2])
    m = re.fullmatch(r"are the (\w+) and the (\w+) (\w+)\?", question)
    (a,), (b,) = named(scene, m[1]), named(scene, m[2])
    return say(a.colour == m[3] and b.colour == m[3])


def on_side(words: str, a, b) -> bool:
    """Beside in grid cells, which pixels within a cell may not decide."""
    return {
        "left of": a.column < b.column,
        "right of": a.column > b.column,
        "above": a.row < b.row,
        "below": a.row > b.row,
    }[words]


def test_every_answer_is_what_reading_the_question_gives():
    random = RandomState(11)
    checked: Counter[str] = Counter()
    for _ in range(40):
        scene = random_scene(random)
        for name, kind in KINDS.items():
            for asked in kind.list_all(scene):
                assert asked.answer == judged(scene, asked.question), asked
                checked[name] += 1
                for _, entailed in asked.entailed:
                    assert entailed.answer == judged(scene, entailed.question), entailed
    assert set(checked) == set(KINDS) and min(checked.values()) > 20, checked


def test_what_an_answer_entails_in_one_scene_holds_in_every_scene_with_that_answer():
    random = RandomState(12)
    scenes = [random_scene(random) for _ in range(60)]
    pairs: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    known = []
    for scene in scenes:
        everything = {a.question: a for kind in KINDS.values() for a in kind.list_all(scene)}
        known.append(everything)
        for asked in everything.values():
            pairs[asked.question, asked.answer] |= {
                (other.question, other.answer) for _, other in asked.entailed
            }
    checked = 0
    for scene, everything in zip(scenes, known, strict=True):
        for asked in everything.values():
            for question, answer in pairs[asked.question, asked.answer]:
                assert judged(scene, question) == answer, (asked, question)
                checked += 1
    assert checked > 1000


def test_no_question_to_answer_was_asked_in_pretraining_and_every_word_was():
    practised, words = set(), set()
    for drawn in world.samples(seed=6, count=200):
        for _, prompt, target in drawn.questions:
            practised.add(prompt.removeprefix("vqa: "))
            words |= set(re.findall(r"\w+", f"{prompt} {target}"))
    random = RandomState(13)
    asked = [a for _ in range(100) for kind in KINDS.values() for a in kind.list_all(random_scene(random))]
    assert not practised & {a.question for a in asked}
    assert {word for a in asked for word in re.findall(r"\w+", f"{a.question} {a.answer}")} <= words


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gqa")
    gqa.write(path, seed=0, train=350, val=20, testdev=80)
    return path


def questions(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}_questions.json").read_text())


def test_the_official_reader_reads_every_split(folder):
    assert Reader().splits(folder) == ("train", "val", "testdev", "testdev_all", "train+val")
    for split in Reader().splits(folder):
        rows = [row for row, _ in Reader().rows(folder, split)]
        assert rows and all((folder / row["images"][0].path).is_file() for row in rows)


def test_the_full_file_adds_what_balanced_questions_entail(folder):
    balanced, everything = questions(folder, "testdev_balanced"), questions(folder, "testdev_all")
    assert balanced == {key: row for key, row in everything.items() if row["isBalanced"]}
    assert len(everything) > 1.3 * len(balanced)
    for key, row in balanced.items():
        assert key in row["entailed"]
        for other in row["entailed"]:
            assert everything[other]["imageId"] == row["imageId"]
    linked = [row for row in balanced.values() if len(row["entailed"]) > 1]
    assert len(linked) > 0.3 * len(balanced)


def test_choices_hold_every_answer_and_choose_questions_offer_two(folder):
    choices = json.loads((folder / "testdev_choices.json").read_text())
    for key, row in questions(folder, "testdev_all").items():
        assert row["answer"] in choices[key]["valid"] and row["answer"] in choices[key]["plausible"]
        assert (len(choices[key]["valid"]) == 2) == (row["types"]["structural"] != "query")


def test_types_cover_binary_and_open_questions_equally_often(folder):
    kinds = Counter(row["types"]["detailed"] for row in questions(folder, "train_balanced").values())
    assert set(kinds) == set(KINDS)
    assert max(kinds.values()) < 1.2 * sorted(kinds.values())[1]  # things of one colour are rare
    structural = {row["types"]["structural"] for row in questions(folder, "train_balanced").values()}
    assert structural == {"verify", "query", "choose", "logical", "compare"}


def test_neither_the_question_nor_the_commonest_answer_gives_it_away(folder):
    by_text, by_kind = defaultdict(Counter), defaultdict(Counter)
    for row in questions(folder, "train_balanced").values():
        by_text[row["question"]][row["answer"]] += 1
        by_kind[row["types"]["detailed"]][row["answer"]] += 1
    for kind, counts in by_kind.items():
        assert max(counts.values()) / counts.total() < (0.65 if "yes" in counts else 0.3), kind
    hits = [
        by_text[row["question"]].most_common(1)[0][0] == row["answer"]
        for row in questions(folder, "testdev_balanced").values()
        if row["question"] in by_text
    ]
    assert np.mean(hits) < 0.58


def test_splits_share_no_picture_and_a_seed_gives_the_same_files(folder, tmp_path):
    images = {
        name: {row["imageId"] for row in questions(folder, f"{name}_balanced").values()}
        for name in ("train", "val", "testdev")
    }
    pixels = {
        name: {hashlib.sha256(Image.open(folder / "images" / f"{i}.png").tobytes()).digest() for i in ids}
        for name, ids in images.items()
    }
    assert not pixels["train"] & pixels["testdev"] and not pixels["train"] & pixels["val"]
    assert not pixels["val"] & pixels["testdev"]
    gqa.write(tmp_path, seed=0, train=5, val=2, testdev=2)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*.*")):
        content = Image.open(path).tobytes() if path.suffix == ".png" else path.read_bytes()
        digest.update(path.name.encode() + content)
    assert digest.hexdigest() == "32aa244e89254d410c5ebfef7aca87c4eed38abae30fd9182bacdb831cde4b34"
