"""The readers of VALUE's files against small hand-made folders in the official layout."""

from __future__ import annotations

import json
import logging

import pytest

from data_modules.formats import TVC, TVQA, YC2C, How2QA
from vl_dora.batch import ClipRef

CLIP = "friends_s02e05_seg02_clip_03"


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def changed(given: dict, changes: dict) -> dict:
    return {key: value for key, value in {**given, **changes}.items() if value is not ...}


def question(qid: int = 7, **changes) -> dict:
    given = {"qid": qid, "q": "What is it?", "answer_idx": 2, "ts": "7.5-9", "vid_name": CLIP}
    return changed({**given, **{f"a{n}": f"thing {n}" for n in range(5)}, "show_name": "Friends"}, changes)


def captions(clip_id: int = 5, **changes) -> dict:
    descs = [{"desc": f" He sits {n}. ", "desc_id": 10 * clip_id + n, "type": "vt"} for n in (1, 2)]
    given = {"vid_name": CLIP, "duration": 61.5, "ts": [16.5, 33.0], "clip_id": clip_id, "descs": descs}
    return changed(given, changes)


@pytest.fixture
def root(tmp_path):
    lines = [{"text": "Late.", "start": 9.0, "end": 11.5}, {"text": " Where\nis she? ", "start": 0, "end": 2}]
    write(tmp_path / "ann" / "tv_subtitles.jsonl", {"vid_name": CLIP, "sub": lines})
    return tmp_path


def tvqa(root, *rows, name: str = "tvqa_val"):
    write(root / "ann" / "tvqa" / f"{name}.jsonl", *rows)


def read(reader, root, split):
    return [row for row, _ in reader.rows(root, split)]


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def test_a_question_comes_with_its_clip_and_subtitles_in_the_order_of_time(root):
    tvqa(root, question())
    touched(root / "videos" / "tv" / f"{CLIP}.mkv")
    (row,) = read(TVQA(), root, "val")
    assert row["frames"] == ClipRef(f"videos/tv/{CLIP}.mkv")
    assert [line["text"] for line in row["subtitles"]] == ["Where is she?", "Late."]
    assert row["subtitles"][1] == {"text": "Late.", "start": 9.0, "end": 11.5}
    assert question().items() <= row.items()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".mov"])
def test_clips_are_looked_for_in_order_and_with_any_suffix(root, suffix):
    tvqa(root, question())
    touched(root / "second" / f"{CLIP}.tvqa{suffix}")
    reader = TVQA(clip_folders=("first/{vid_name}", "second/{vid_name}.tvqa"))
    assert read(reader, root, "val")[0]["frames"] == ClipRef(f"second/{CLIP}.tvqa{suffix}")
    touched(root / "first" / f"{CLIP}.mp4")
    assert read(reader, root, "val")[0]["frames"] == ClipRef(f"first/{CLIP}.mp4")


def test_a_clip_that_is_nowhere_keeps_its_name_for_stored_features(root):
    tvqa(root, question(vid_name="a.clip.with.dots"))
    (row,) = read(TVQA(subtitles=None), root, "val")
    assert row["frames"] == ClipRef("videos/tv/a.clip.with.dots.mp4")


@pytest.mark.parametrize("patterns", [["videos/tv"], ["videos/{name}"]])
def test_a_pattern_must_name_the_clip(root, patterns):
    tvqa(root, question())
    with pytest.raises(ValueError, match=r"data.files.clip_folders: '.*' must name the clip by \{vid_name\}"):
        read(TVQA(clip_folders=patterns), root, "val")


def test_a_split_may_be_several_files(root):
    tvqa(root, question(1, answer_idx=...), name="tvqa_test_public")
    reader = TVQA(unanswered=True)
    assert reader.splits(root) == ("test",)
    tvqa(root, question(2, answer_idx=...), name="tvqa_test_release")
    assert reader.splits(root) == ("test", "submit")
    assert [row["qid"] for row in read(reader, root, "submit")] == [1, 2]
    assert [row["qid"] for row in read(reader, root, "tvqa_test_release")] == [2]


def test_a_split_that_is_not_there_names_those_that_are(root):
    tvqa(root, question())
    with pytest.raises(
        FileNotFoundError, match="split 'train' needs the file .*tvqa_train.jsonl.*there: val"
    ):
        read(TVQA(), root, "train")


def test_how2qa_has_four_choices_and_files_of_its_own(tmp_path):
    write(tmp_path / "ann" / "how2_subtitles.jsonl", {"vid_name": CLIP, "sub": []})
    path = tmp_path / "ann" / "how2qa" / "how2qa_val_release.jsonl"
    write(path, question(a4=..., show_name=..., ts=[0, 4.5]))
    (row,) = read(How2QA(), tmp_path, "val")
    assert row["frames"] == ClipRef(f"videos/how2/{CLIP}.mp4") and row["subtitles"] == ()
    write(path, question(a4=..., answer_idx=4))
    with pytest.raises(ValueError, match=r"row 1: 'answer_idx' must lie in 0..3, got 4"):
        read(How2QA(), tmp_path, "val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": ...}, "tvqa_val.jsonl, row 2: the field 'q' is missing"),
        ({"a4": 5}, "row 2: 'a4' must be a text, got 5"),
        ({"ts": "soon"}, "row 2: 'ts' must be .start, end. in seconds or the text \"start-end\", got 'soon'"),
        ({"ts": [1, 2, 3]}, "row 2: 'ts' must be .*got .1, 2, 3."),
        ({"ts": [5, 2]}, "row 2: 'ts' must be a start and a later end in seconds"),
        ({"ts": None}, "row 2: 'ts' must be"),
        ({"answer_idx": ...}, "row 2: the field 'answer_idx' is missing; set data.files.unanswered=true"),
        ({"answer_idx": 5}, "row 2: 'answer_idx' must lie in 0..4, got 5"),
        ({"qid": 7}, "row 2: qid 7 was used before, in .*row 1"),
        ({"vid_name": 3}, "row 2: 'vid_name' must be a text, got 3"),
    ],
)
def test_a_bad_question_names_file_row_and_field(root, changes, message):
    tvqa(root, question(7), changed(question(8), changes))
    with pytest.raises(ValueError, match=message):
        read(TVQA(), root, "val")


def test_a_moment_of_tvqa_may_be_unknown(root):
    tvqa(root, question(ts="nan-nan"))
    assert read(TVQA(), root, "val")[0]["ts"] == "nan-nan"


def test_clips_without_subtitles_are_counted(root, caplog):
    tvqa(root, question(1), question(2, vid_name="other"), question(3, vid_name="other"))
    with caplog.at_level(logging.WARNING):
        rows = read(TVQA(), root, "val")
    assert [len(row["subtitles"]) for row in rows] == [2, 0, 0]
    assert (
        "1 of 2 clips of split val have no subtitles in ann/tv_subtitles.jsonl, such as other" in caplog.text
    )


def test_subtitles_must_be_there_unless_they_are_not_wanted(tmp_path, caplog):
    tvqa(tmp_path, question())
    with pytest.raises(FileNotFoundError, match="tv_subtitles.jsonl are missing; .*data.files.subtitles"):
        read(TVQA(), tmp_path, "val")
    assert read(TVQA(subtitles=None), tmp_path, "val")[0]["subtitles"] == ()
    assert not caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "Hi", "start": 1.0}, "row 1, line 1: 'end' must be a number of seconds, got None"),
        (
            {"text": "Hi", "start": "1", "end": 2},
            "row 1, line 1: 'start' must be a number of seconds, got '1'",
        ),
        ({"start": 1, "end": 2}, "row 1, line 1: the field 'text' is missing"),
        ("Hi", "row 1, line 1: expected an object"),
    ],
)
def test_a_bad_line_of_subtitles_is_named(root, line, message):
    tvqa(root, question())
    write(root / "ann" / "tv_subtitles.jsonl", {"vid_name": CLIP, "sub": [line]})
    with pytest.raises(ValueError, match=message):
        read(TVQA(), root, "val")


def tvc(root, *rows, split: str = "val"):
    write(root / "ann" / "tvc" / f"tvc_{split}_release.jsonl", *rows)


def test_a_caption_is_learned_and_a_clip_with_all_its_captions_is_scored(root):
    tvc(root, captions(5), captions(6), split="train")
    tvc(root, captions(9))
    rows = read(TVC(), root, "train")
    assert [(row["clip_id"], row["caption_id"], row["captions"]) for row in rows] == [
        (5, 51, ["He sits 1."]),
        (5, 52, ["He sits 2."]),
        (6, 61, ["He sits 1."]),
        (6, 62, ["He sits 2."]),
    ]
    (row,) = read(TVC(), root, "val")
    assert row["captions"] == ["He sits 1.", "He sits 2."] and "caption_id" not in row
    assert row["ts"] == [16.5, 33.0] and row["frames"] == ClipRef(f"videos/tv/{CLIP}.mp4")
    assert TVC().splits(root) == ("train", "val", "train:clips")
    assert [row["clip_id"] for row in read(TVC(), root, "train:clips")] == [5, 6]


def test_a_caption_alone_is_a_row_of_every_split_as_the_reference_scores(root):
    tvc(root, captions(9))
    rows = read(TVC(single_reference=True), root, "val")
    assert [row["captions"] for row in rows] == [["He sits 1."], ["He sits 2."]]


def test_clips_without_captions_are_an_error_unless_asked_for(root):
    tvc(root, captions(descs=...), split="test")
    with pytest.raises(
        ValueError, match="row 1: the field 'descs' is missing; set data.files.unanswered=true"
    ):
        read(TVC(), root, "test")
    (row,) = read(TVC(unanswered=True), root, "test")
    assert row["captions"] == [] and row["clip_id"] == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"descs": []}, "row 1: 'descs' is an empty list"),
        ({"descs": [{"desc": " ", "desc_id": 1}]}, "row 1, desc 1: 'desc' is an empty caption"),
        ({"descs": [{"desc": "He sits."}]}, "row 1, desc 1: the field 'desc_id' is missing"),
        ({"descs": ["He sits."]}, "row 1, desc 1: expected an object"),
        ({"clip_id": "5"}, "row 1: 'clip_id' must be a whole number, got \"5\""),
        ({"ts": "16"}, "row 1: 'ts' must be"),
    ],
)
def test_a_bad_clip_names_file_row_and_field(root, changes, message):
    tvc(root, changed(captions(), changes))
    with pytest.raises(ValueError, match=message):
        read(TVC(), root, "val")


def test_steps_of_recipes_lie_in_their_own_files(tmp_path):
    write(tmp_path / "ann" / "yc2_subtitles.jsonl", {"vid_name": CLIP, "sub": []})
    write(tmp_path / "ann" / "yc2c" / "yc2c_val_release.jsonl", captions(ts=...))
    (row,) = read(YC2C(), tmp_path, "val")
    assert row["frames"] == ClipRef(f"videos/yc2/{CLIP}.mp4") and "ts" not in row
