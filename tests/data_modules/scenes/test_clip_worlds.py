"""The drawn video data sets: official files that the readers take, and nothing shared between splits."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from data_modules import formats
from data_modules.scenes import clips_how2qa, clips_nextqa, clips_open, clips_tvc, clips_tvqa, clips_yc2c
from data_modules.video import sample_frames
from vl_dora.models.base import load_tokenizer, shipped_bases

SIZES = {"train": 12, "val": 3, "test": 6}
WORLDS = {
    "tvqa": (clips_tvqa.write, formats.TVQA),
    "how2qa": (clips_how2qa.write, formats.How2QA),
    "tvc": (clips_tvc.write, formats.TVC),
    "yc2c": (clips_yc2c.write, formats.YC2C),
    "msvd_qa": (clips_open.write_msvd, formats.MSVDQA),
    "msrvtt_qa": (clips_open.write_msrvtt, formats.MSRVTTQA),
    "activitynet_qa": (clips_open.write_activitynet, formats.ActivityNetQA),
    "nextqa_mc": (clips_nextqa.write, formats.NExTQA),
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    for name, (write, _) in WORLDS.items():
        write(folder / name, **SIZES)
    return folder


def rows(worlds: Path, name: str, split: str) -> list[dict]:
    reader = WORLDS[name][1]()
    return [row for row, _ in reader.rows(worlds / name, split)]


@pytest.mark.parametrize("name", WORLDS)
def test_its_reader_takes_every_split(worlds, name) -> None:
    for split, size in SIZES.items():
        found = rows(worlds, name, split)
        clips = {row["frames"].path for row in found}
        assert len(clips) == size
        assert all((worlds / name / path).is_file() for path in clips)


@pytest.mark.parametrize("name", WORLDS)
def test_no_clip_is_in_two_splits(worlds, name) -> None:
    clips = {split: {row["frames"].path for row in rows(worlds, name, split)} for split in SIZES}
    assert not clips["train"] & clips["test"] and not clips["train"] & clips["val"]
    contents = Counter(path.read_bytes() for path in (worlds / name).rglob("*.mp4"))
    assert set(contents.values()) == {1}


@pytest.mark.parametrize("name", ["tvqa", "yc2c"])
def test_clips_are_real_files_of_eight_seconds_or_ten_or_less(worlds, name) -> None:
    path = next((worlds / name).rglob("*.mp4"))
    found = sample_frames(path, count=8)
    assert found.frames.shape == (8, 144, 144, 3)
    assert 5.5 < found.times[-1] < 9.5


@pytest.mark.parametrize("name", ["tvqa", "nextqa_mc"])
def test_the_same_seed_writes_the_same_questions(worlds, name, tmp_path) -> None:
    WORLDS[name][0](tmp_path / name, **SIZES)
    for path in sorted(p for p in (worlds / name).rglob("*") if p.suffix in (".csv", ".jsonl")):
        assert (tmp_path / name / path.relative_to(worlds / name)).read_bytes() == path.read_bytes()


@pytest.mark.skipif("tiny_clips" not in shipped_bases(), reason="the base tiny_clips is not shipped yet")
def test_the_base_knows_every_word(worlds) -> None:
    tokenizer = load_tokenizer("tiny_clips")
    fields = r'"(?:q|question|answer|text|desc|a\d)": "([^"]*)"'
    words = set()
    for path in worlds.rglob("*.json*"):
        for text in re.findall(fields, path.read_text()):
            words |= set(re.findall("[a-z]+", text.lower()))
    assert len(words) > 60
    assert [word for word in sorted(words) if len(tokenizer.tokenize(word)) != 1] == []
