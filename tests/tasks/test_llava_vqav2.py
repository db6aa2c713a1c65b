"""VQAv2 as LLaVA submits it: EvalAI's spelling, and every question that EvalAI wants."""

from __future__ import annotations

import json
import logging

import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.tasks.llava_vqav2 import LlavaVQAv2


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "llava_vqav2_mscoco_test2015.jsonl"
    path.write_text("".join(json.dumps({"question_id": n}) + "\n" for n in (5, 7, 9)))
    return path


def prediction(number, text, listed, answers=()):
    row = {
        "question_id": number,
        "asked_id": number,
        "text": "Q?",
        "images": (ImageRef("a.jpg"),),
        "listed_in": str(listed),
        **({"answers": [{"answer": a} for a in answers]} if answers else {}),
    }
    return Prediction(LlavaVQAv2().example(row), text)


def test_what_is_scored_is_what_is_submitted(listed):
    # All ten humans say the same, so the official rule leaves "Yes." as it is: 0 without EvalAI's spelling.
    report = LlavaVQAv2().score([prediction(7, "Yes.", listed, ["yes"] * 10)])
    assert report.scores == {"accuracy": pytest.approx(100)}


def test_the_upload_has_every_question_of_the_list_once(listed, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        predictions = [prediction(9, "Two dogs", listed), prediction(5, "the Cat", listed)]
        _, path = LlavaVQAv2().write_submission(predictions, tmp_path / "out")
    assert json.loads(path.read_text()) == [
        {"question_id": 9, "answer": "2 dogs"},
        {"question_id": 5, "answer": "cat"},
        {"question_id": 7, "answer": ""},
    ]
    assert "1 of 3 questions have no answer" in caplog.text


def test_an_official_question_file_is_a_list_too(tmp_path):
    path = tmp_path / "v2_OpenEnded_mscoco_test2015_questions.json"
    path.write_text(json.dumps({"questions": [{"question_id": 5}, {"question_id": 6}]}))
    _, upload = LlavaVQAv2().write_submission([prediction(6, "a", path)], tmp_path / "out")
    assert [row["question_id"] for row in json.loads(upload.read_text())] == [6, 5]


def test_a_list_that_went_away_is_an_error(listed, tmp_path):
    listed.unlink()
    with pytest.raises(ValueError, match="lists the questions that EvalAI wants and cannot be read"):
        LlavaVQAv2().write_submission([prediction(7, "a", listed)], tmp_path / "out")
