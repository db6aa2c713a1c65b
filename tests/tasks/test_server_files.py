"""What the servers get: the exact content, and none of it where something fails."""

from __future__ import annotations

import json
import os

import pytest

from vl_dora.benchmarks.captions import Captions
from vl_dora.benchmarks.multiple_choice import ValueChoice
from vl_dora.tasks import server_files
from vl_dora.tasks.server_files import ClipCaption


def test_vqa_rows_have_a_number_and_an_answer(tmp_path):
    path = server_files.write_vqa(tmp_path / "vqa_results.json", {"7": "two", "8": "café"})
    assert json.loads(path.read_text("utf-8")) == [
        {"question_id": 7, "answer": "two"},
        {"question_id": 8, "answer": "café"},
    ]


def test_vizwiz_rows_name_the_picture(tmp_path):
    path = server_files.write_vizwiz(tmp_path / "v.json", {"VizWiz_test_00000000.jpg": "unanswerable"})
    assert json.loads(path.read_text()) == [{"image": "VizWiz_test_00000000.jpg", "answer": "unanswerable"}]


def test_gqa_ids_stay_texts(tmp_path):
    path = server_files.write_gqa(tmp_path / "g.json", {"05515938": "yes"})
    assert json.loads(path.read_text()) == [{"questionId": "05515938", "prediction": "yes"}]


def test_nlvr2_lines_have_no_header_and_capital_words(tmp_path):
    path = server_files.write_nlvr2(tmp_path / "n.csv", {"test1-0-1-0": True, "test1-0-1-1": False})
    assert path.read_bytes() == b"test1-0-1-0,True\ntest1-0-1-1,False\n"


@pytest.mark.parametrize(
    ("text", "index"), [("a3", 3), (" a0.", 0), ("a", 0), ("yes", 0), ("", 0), ("b2", 0)]
)
def test_a_choice_is_the_number_behind_the_a_and_else_the_first(text, index):
    assert server_files.choice_index(text) == index


def test_value_choices_are_one_object_that_the_score_reads(tmp_path):
    path = server_files.write_value_choices(tmp_path / "tvqa_test_predictions.json", {"122039": 2, "7": 0})
    assert json.loads(path.read_text()) == {"122039": 2, "7": 0}
    references = tmp_path / "r.jsonl"
    references.write_text('{"qid": 7, "answer_idx": 0}\n{"qid": 122039, "answer_idx": 2}\n')
    assert ValueChoice()(path, references).scores == {"accuracy": 100.0}


def test_value_captions_are_lines_with_times_for_tvc_only(tmp_path):
    tvc = server_files.write_value_captions(
        tmp_path / "tvc.jsonl", [ClipCaption(5, "house_s01", "he sits", (1.5, 4.0)), ClipCaption(6, "h", "é")]
    )
    assert [json.loads(line) for line in tvc.read_text("utf-8").splitlines()] == [
        {"vid_name": "house_s01", "clip_id": 5, "ts": [1.5, 4.0], "descs": [{"desc": "he sits"}]},
        {"vid_name": "h", "clip_id": 6, "descs": [{"desc": "é"}]},
    ]
    scored = Captions(variant="value")(tvc, tvc)
    assert scored.scores["ROUGE_L"] > 0


def test_a_text_that_cannot_be_written_leaves_the_older_file(tmp_path):
    path = server_files.write_vqa(tmp_path / "v.json", {"1": "old"})
    before = path.read_bytes()
    with pytest.raises(ValueError):
        server_files.write_vqa(path, {"one": "new"})
    with pytest.raises(UnicodeEncodeError):
        server_files.write_vqa(path, {"1": "\ud800"})
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["v.json"]
