"""The readers of open and of NExT-QA's questions against small hand-made folders in the official layouts."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import MSRVTTQA, MSVDQA, ActivityNetQA, NExTQA
from vl_dora.batch import ClipRef

HEADER = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
ROW = '4010069381,369,640,480,"how do they play, both of them",3,6,CH,roll it,tap it,hit it,"clap, twice",hum'


def read(reader, root, split="val"):
    return [row for row, _ in reader.rows(root, split)]


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def msvd(root, *rows, split: str = "val"):
    given = {"answer": "animal", "id": 0, "question": "what is chewing on a nut?", "video_id": 1}
    rows = [{key: v for key, v in {**given, **row}.items() if v is not ...} for row in rows]
    (root / f"{split}_qa.json").write_text(json.dumps(rows))


def test_msvd_clips_go_by_number_or_by_their_first_names(tmp_path):
    msvd(tmp_path, {}, {"id": 1, "video_id": 2})
    assert [row["frames"].path for row in read(MSVDQA(), tmp_path)] == ["videos/vid1.mp4", "videos/vid2.mp4"]
    (tmp_path / "youtube_mapping.txt").write_text("-4wsuPCjDBc_5_15 vid1\n-7KMZQEsJW4_205_208 vid2\n")
    touched(tmp_path / "videos" / "-4wsuPCjDBc_5_15.avi")
    assert read(MSVDQA(), tmp_path)[0]["frames"] == ClipRef("videos/-4wsuPCjDBc_5_15.avi")
    touched(tmp_path / "videos" / "vid1.avi")
    row = read(MSVDQA(), tmp_path)[0]
    assert row["frames"] == ClipRef("videos/vid1.avi")
    assert (row["question"], row["answer"], row["id"]) == ("what is chewing on a nut?", "animal", 0)
    assert MSVDQA().splits(tmp_path) == ("val",)


def test_a_bad_line_of_the_names_of_msvd_is_named(tmp_path):
    msvd(tmp_path, {})
    (tmp_path / "youtube_mapping.txt").write_text("a vid1\nb c vid2\n")
    with pytest.raises(
        ValueError, match="youtube_mapping.txt, row 2: expected a clip's two names, got 'b c vid2'"
    ):
        read(MSVDQA(), tmp_path)


def test_msrvtt_clips_go_by_number(tmp_path):
    msvd(tmp_path, {"video_id": 7010, "category_id": 3})
    touched(tmp_path / "videos" / "video7010.mp4")
    assert read(MSRVTTQA(), tmp_path)[0]["frames"] == ClipRef("videos/video7010.mp4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": ...}, "val_qa.json, row 2: the field 'answer' is missing"),
        ({"video_id": "1"}, "row 2: 'video_id' must be a whole number"),
        ({"id": 0}, "row 2: id 0 was used before"),
    ],
)
def test_a_bad_row_of_msvd_is_named(tmp_path, changes, message):
    msvd(tmp_path, {}, {"id": 1, **changes})
    with pytest.raises(ValueError, match=message):
        read(MSVDQA(), tmp_path)


def test_msvd_may_be_read_without_answers(tmp_path):
    msvd(tmp_path, {"answer": ...})
    assert "answer" not in read(MSVDQA(unanswered=True), tmp_path)[0]


def activitynet(root, questions, answers):
    asked = {"video_name": "1QIUV7WYKXg", "question": "is the athlete wearing trousers"}
    (root / "val_q.json").write_text(json.dumps([{**asked, "question_id": name} for name in questions]))
    if answers is not None:
        (root / "val_a.json").write_text(json.dumps(answers))


def test_activitynet_answers_are_paired_by_id(tmp_path):
    right = {"answer": "yes", "type": 3, "question_id": "x_1"}
    activitynet(
        tmp_path, ["x_1", "x_2"], [{**right, "answer": "no", "question_id": "x_2", "type": "8"}, right]
    )
    first, second = read(ActivityNetQA(), tmp_path)
    assert (first["answer"], first["type"]) == ("yes", 3) and (second["answer"], second["type"]) == ("no", 8)
    assert first["frames"] == ClipRef("videos/v_1QIUV7WYKXg.mp4")
    touched(tmp_path / "videos" / "1QIUV7WYKXg.webm")
    assert read(ActivityNetQA(), tmp_path)[0]["frames"] == ClipRef("videos/1QIUV7WYKXg.webm")


def test_activitynet_questions_need_answers_unless_asked_for(tmp_path):
    activitynet(tmp_path, ["x_1", "x_2"], [{"answer": "yes", "type": 3, "question_id": "x_1"}])
    with pytest.raises(ValueError, match="val_q.json, row 2: the question 'x_2' has no answer in val_a.json"):
        read(ActivityNetQA(), tmp_path)
    (tmp_path / "val_a.json").unlink()
    assert ActivityNetQA().splits(tmp_path) == () and ActivityNetQA(unanswered=True).splits(tmp_path) == (
        "val",
    )
    assert "answer" not in read(ActivityNetQA(unanswered=True), tmp_path)[0]


@pytest.mark.parametrize("kind", [9, -1, "free", None])
def test_activitynet_types_are_nine(tmp_path, kind):
    activitynet(tmp_path, ["x_1"], [{"answer": "yes", "type": kind, "question_id": "x_1"}])
    with pytest.raises(ValueError, match=r"val_a.json, row 1: 'type' must be a whole number in 0..8"):
        read(ActivityNetQA(), tmp_path)


def test_a_row_of_nextqa_keeps_its_commas(tmp_path):
    (tmp_path / "val.csv").write_text(f"{HEADER}\n{ROW}\n")
    (row,) = read(NExTQA(), tmp_path)
    assert row["question"] == "how do they play, both of them" and row["a3"] == "clap, twice"
    assert (row["answer"], row["type"], row["qid"]) == (3, "CH", "6")
    assert row["frames"] == ClipRef("videos/4010069381.mp4")


def test_clips_of_nextqa_may_lie_where_vidor_has_them(tmp_path):
    (tmp_path / "val.csv").write_text(f"{HEADER}\n{ROW}\n")
    (tmp_path / "map_vid_vidorID.json").write_text('{"4010069381": "1164/4010069381"}')
    touched(tmp_path / "NExTVideo" / "1164" / "4010069381.mp4")
    assert read(NExTQA(), tmp_path)[0]["frames"] == ClipRef("NExTVideo/1164/4010069381.mp4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER[:-3]}\n{ROW}\n", "val.csv: the columns a4 are missing; columns there: video, frame_count"),
        (f"{HEADER}\n{ROW},more\n", "val.csv, row 2: it has more or fewer fields than the 13 columns"),
        (f"{HEADER}\n{ROW[:-4]}\n", "val.csv, row 2: it has more or fewer fields"),
        (f"{HEADER}\n{ROW}\n{ROW}\n", "row 3: video and qid .* was used before, in .*row 2"),
        (f"{HEADER}\n{ROW.replace(',3,6', ',5,6')}\n", "row 2: 'answer' must lie in 0..4, got '5'"),
        (f"{HEADER}\n{ROW.replace('CH', 'XX')}\n", "row 2: 'type' must be one of CW, CH, .*got 'XX'"),
    ],
)
def test_a_bad_table_of_nextqa_is_named(tmp_path, text, message):
    (tmp_path / "val.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(NExTQA(), tmp_path)


def test_nextqa_may_be_read_without_answers(tmp_path):
    lines = [HEADER.replace(",answer", ""), ROW.replace(",3,6", ",6")]
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="the columns answer are missing"):
        read(NExTQA(), tmp_path, "test")
    assert "answer" not in read(NExTQA(unanswered=True), tmp_path, "test")[0]
