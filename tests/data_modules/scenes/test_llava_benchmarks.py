"""The drawn worlds of LLaVA's benchmarks: read by the readers, true to their pixels, the same everywhere."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules import formats
from data_modules.scenes.scene import COLOURS
from data_modules.visuals import load_picture

SIZES = {
    "llava_vqav2": {"pictures": 8, "more": 2},
    "llava_gqa": {"pictures": 8},
    "pope": {"pictures": 12},
    "vizwiz": {"pictures": 20},
    "textvqa": {"pictures": 8},
    "scienceqa": {"test": 20, "val": 4},
    "mmbench": {"pictures": 15},
    "asked_folder": {"pictures": 3},
}
READERS = {
    "llava_vqav2": (formats.LlavaVQAv2(), "test"),
    "llava_gqa": (formats.LlavaGQA(), "test"),
    "pope": (formats.POPE(), "test"),
    "vizwiz": (formats.VizWiz(), "test"),
    "textvqa": (formats.TextVQA(), "val"),
    "scienceqa": (formats.ScienceQA(), "test"),
    "asked_folder": (formats.AskedFolder(), "questions"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """world(name) -> the folder of that world, drawn once."""

    @functools.lru_cache
    def drawn(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        importlib.import_module(f"data_modules.scenes.{name}").write(folder, **SIZES[name])
        return folder

    return drawn


def rows(world, name, **fields):
    """Rows of a world, and the folder that their pictures lie below."""
    folder = world(name)
    if name == "mmbench":
        reader, split = formats.MMBench(cache_dir=str(folder / "cache")), "dev_20230712"
    else:
        reader, split = READERS[name]
    return [row for row, _ in reader.rows(folder, split)], folder


@pytest.mark.parametrize("name", SIZES)
def test_the_official_reader_reads_it_and_every_picture_is_there(world, name):
    found, folder = rows(world, name)
    assert len(found) >= 6
    for row in found:
        for image in row["images"]:
            assert load_picture(folder, image, None).shape == (3, 96, 96)


# The official questions of VQAv2 are test2015's, of which LLaVA asks a part.
@pytest.mark.parametrize("name", ["llava_gqa", "pope", "vizwiz"])
def test_the_official_files_alone_make_the_same_prompts(world, name, tmp_path):
    found, folder = rows(world, name)
    reader, split = READERS[name]
    for path in folder.iterdir():
        if not path.name.startswith("llava_"):
            (tmp_path / path.name).symlink_to(path)
    alone = [row for row, _ in reader.rows(tmp_path, split)]
    assert [row["text"] for row in alone] == [row["text"] for row in found]
    assert [row["images"] for row in alone] == [row["images"] for row in found]


def test_the_problems_and_the_tokens_alone_make_the_same_prompts(world, tmp_path):
    for name, left_out in (
        ("scienceqa", "llava_test_CQM-A.json"),
        ("textvqa", "llava_textvqa_val_v051_ocr.jsonl"),
    ):
        found, folder = rows(world, name)
        (tmp_path / name).mkdir()
        for path in folder.iterdir():
            if path.name != left_out:
                (tmp_path / name / path.name).symlink_to(path)
        reader, split = READERS[name]
        alone = [row for row, _ in reader.rows(tmp_path / name, split)]
        assert [row["text"] for row in alone] == [row["text"] for row in found]


def digest(folder: Path) -> str:
    """Of every text, and of every picture's pixels: the bytes of a PNG depend on the library."""
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(str(path.relative_to(folder)).encode())
        found.update(np.asarray(Image.open(path)).tobytes() if path.suffix == ".png" else path.read_bytes())
    return found.hexdigest()


@pytest.mark.parametrize("name", ["pope", "vizwiz", "textvqa", "scienceqa"])
def test_a_seed_gives_the_same_world_and_another_seed_another(name, tmp_path):
    write = importlib.import_module(f"data_modules.scenes.{name}").write
    size = {"test": 6, "val": 1} if name == "scienceqa" else {"pictures": 5}
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / folder, seed=seed, **size)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")


def colours_of(folder, image) -> set[str]:
    """Colours that a drawn picture holds, by its pixels alone."""
    pixels = load_picture(folder, image, None).reshape(3, -1).T.astype(int)
    coloured = pixels[np.ptp(pixels, axis=1) > 40]
    names = list(COLOURS)
    table = np.array([COLOURS[name] for name in names])
    nearest = np.abs(coloured[:, None] - table[None]).sum(-1).argmin(1)
    counts = Counter(names[i] for i in nearest)
    return {name for name, count in counts.items() if count > 20}


def test_pope_asks_as_often_for_what_is_there_and_its_yes_is_in_the_pixels(world):
    found, folder = rows(world, "pope")
    for category in ("random", "popular", "adversarial"):
        labels = Counter(row["label"] for row in found if row["category"] == category)
        assert labels["yes"] == labels["no"] > 20
    absent = 0
    for row in found:
        colour, shape = re.match(r"Is there an? (\w+) (\w+) in", row["text"]).groups()
        shown = colour in colours_of(folder, row["images"][0])
        assert shown or row["label"] == "no"
        absent += not shown
    assert absent > 10  # other negatives share their colour with something in the picture


def test_popular_and_adversarial_negatives_are_commoner_than_random_ones(world):
    found, _ = rows(world, "pope")
    thing = {id(row): row["text"].split(" in the image?")[0] for row in found}
    there = Counter(thing[id(row)] for row in found if row["label"] == "yes")

    def mean(category):
        mine = [there[thing[id(r)]] for r in found if r["label"] == "no" and r["category"] == category]
        return sum(mine) / len(mine)

    assert mean("popular") > mean("random") and mean("adversarial") > mean("random")


def test_a_part_of_vqav2_is_answered_and_all_of_it_is_listed(world):
    found, folder = rows(world, "llava_vqav2")
    listed = Path(found[0]["listed_in"])
    whole = [json.loads(line)["question_id"] for line in listed.read_text().splitlines()]
    answered = [row["question_id"] for row in found]
    assert set(answered) < set(whole) and all(len(row["answers"]) == 10 for row in found)


def test_vizwiz_pictures_are_dark_where_nothing_can_be_seen(world):
    found, folder = rows(world, "vizwiz")
    kinds = Counter(row["answerable"] for row in found)
    assert kinds == {1: 14, 0: 6}
    for place, row in enumerate(found):
        brightest = load_picture(folder, row["images"][0], None).max()
        assert (brightest < 3) == (place % 10 in (3, 6))
        said = Counter(answer["answer"] for answer in row["answers"]).most_common(1)[0]
        assert said[1] >= 9 and (said[0] == "unanswerable") == (not row["answerable"])


def test_textvqa_signs_have_their_colours_and_their_tokens(world):
    found, folder = rows(world, "textvqa")
    read = 0
    for row in found:
        tokens = row["text"].split("\n")[1].removeprefix("Reference OCR token: ").split(", ")
        place = {"top": 0, "middle": 1, "bottom": 2}.get(row["question"].split(" ")[-1].rstrip("?"))
        colour = re.search(r"on the (\w+) sign", row["question"])
        if colour:
            pixels = load_picture(folder, row["images"][0], None)
            # Just inside the upper left corner of every sign.
            corners = [tuple(pixels[:, 32 * n + 4, 4]) for n in range(3)]
            place = corners.index(COLOURS[colour[1]])
        if place is not None:
            read += tokens[place].lower() == row["answers"][0]
        elif row["question"] == "what is the number?":
            assert row["answers"][0].isdigit()
    assert read > 10


def test_mmbench_turns_the_options_and_the_right_one_moves_with_them(world):
    found, _ = rows(world, "mmbench")
    by_question: dict[int, list[dict]] = {}
    for row in found:
        by_question.setdefault(row["question_id"] % 1_000_000, []).append(row)
    assert len(by_question) == 15
    for turns in by_question.values():
        assert len(turns) == len(turns[0]["options"]) and len({row["images"] for row in turns}) == 1
        right = {row["options"]["ABCD".index(row["answer"])] for row in turns}
        assert len(right) == 1 and {row["answer"] for row in turns} == set("ABCD"[: len(turns)])
    assert len({row["category"] for row in found}) == 5


def test_scienceqa_has_pictures_hints_and_neither(world):
    found, _ = rows(world, "scienceqa")
    kinds = {(bool(row["images"]), bool(row["hint"])) for row in found}
    assert kinds == {(True, False), (True, True), (False, True), (False, False)}
    assert len({row["subject"] for row in found}) == 3 and all(row["lecture"] for row in found)
    assert {row["answer"] for row in found} >= {0, 1, 2}
