"""What LLaVA's benchmarks report is what their official files give: answers against annotations."""

from __future__ import annotations

import json

import pytest

from data_modules import formats
from data_modules.scenes import llava_gqa, llava_vqav2, pope, scienceqa, textvqa, vizwiz
from vl_dora.batch import Prediction
from vl_dora.benchmarks import gqa as gqa_files
from vl_dora.benchmarks import pope as pope_files
from vl_dora.benchmarks import scienceqa as scienceqa_files
from vl_dora.benchmarks import textvqa as textvqa_files
from vl_dora.benchmarks import vqa as vqa_files
from vl_dora.tasks.llava_gqa import LlavaGQA
from vl_dora.tasks.llava_vqav2 import LlavaVQAv2
from vl_dora.tasks.pope import POPE
from vl_dora.tasks.scienceqa import ScienceQA
from vl_dora.tasks.textvqa import TextVQA
from vl_dora.tasks.vizwiz import VizWiz


def said(task, reader, folder, split, wrong, right=lambda text: text) -> list[Prediction]:
    """A prediction of every sample of a split, one of three wrong."""
    examples = [task.example(row) for row, _ in reader.rows(folder, split)]
    texts = [right(e.target) if n % 3 else wrong(e.target) for n, e in enumerate(examples)]
    return [Prediction(example, text) for example, text in zip(examples, texts, strict=True)]


def test_pope_by_content_since_the_numbers_of_the_files_differ(tmp_path):
    pope.write(tmp_path, pictures=6)
    task = POPE()
    opposite = {"yes": "No, it is not.", "no": "Yes."}
    predictions = said(task, formats.POPE(), tmp_path, "test", opposite.__getitem__, str.capitalize)
    (answers,) = task.write_submission(predictions, tmp_path / "out")
    official = pope_files.POPE(questions=str(tmp_path / "llava_pope_test.jsonl"))
    scored = official(answers, tmp_path / "coco")
    report = task.score(predictions)
    assert report.scores == pytest.approx({name: 100 * value for name, value in scored.scores.items()})
    assert report.by_type["category"] == pytest.approx({k: 100 * v for k, v in scored.by_type["f1"].items()})
    assert 40 < report.scores["f1"] < 90


def test_scienceqa(tmp_path):
    scienceqa.write(tmp_path, test=20, val=2)
    task = ScienceQA()
    predictions = said(
        task, formats.ScienceQA(), tmp_path, "test", lambda text: "E", lambda text: f"The answer is {text}."
    )
    (answers,) = task.write_submission(predictions, tmp_path / "out")
    official = scienceqa_files.ScienceQA(splits=str(tmp_path / "pid_splits.json"))
    scored = official(answers, tmp_path / "problems.json")
    report = task.score(predictions)
    assert report.scores == pytest.approx(scored.scores) and set(report.scores) == {
        "accuracy",
        "image_accuracy",
    }
    assert report.by_type["table"] == pytest.approx(
        {k: v for k, v in scored.by_type["table"].items() if v != -1}
    )


def test_textvqa_by_picture_and_question_and_by_number(tmp_path):
    textvqa.write(tmp_path, pictures=6)
    task = TextVQA()
    predictions = said(task, formats.TextVQA(), tmp_path, "val", lambda text: text + "s", str.upper)
    answers, upload = task.write_submission(predictions, tmp_path / "out")
    report = task.score(predictions)
    for path in (answers, upload):
        scored = textvqa_files.TextVQA()(path, tmp_path / "TextVQA_0.5.1_val.json")
        assert report.scores == pytest.approx(scored.scores), path
    assert 60 < report.scores["accuracy"] < 70


def test_gqa_in_lower_case_without_a_stop(tmp_path):
    llava_gqa.write(tmp_path, pictures=8)
    task = LlavaGQA()
    predictions = said(
        task, formats.LlavaGQA(), tmp_path, "test", lambda text: "none.", lambda text: f"{text.capitalize()}."
    )
    _, upload = task.write_submission(predictions, tmp_path / "out")
    scored = gqa_files.GQA()(upload, tmp_path / "data" / "testdev_balanced_questions.json")
    report = task.score(predictions)
    for name in ("accuracy", "binary", "open"):
        assert report.scores[name] == pytest.approx(scored.scores[name]), name
    assert 50 < report.scores["accuracy"] < 80


def test_vqav2_over_the_part_that_has_answers(tmp_path):
    llava_vqav2.write(tmp_path, pictures=6, more=2)
    task = LlavaVQAv2()
    predictions = said(task, formats.LlavaVQAv2(), tmp_path, "test", lambda text: "nine", str.capitalize)
    _, upload = task.write_submission(predictions, tmp_path / "out")
    rows = json.loads(upload.read_text())
    answered = {p.id for p in predictions}
    assert len(rows) > len(answered)  # EvalAI wants all of test2015
    upload.write_text(json.dumps([row for row in rows if str(row["question_id"]) in answered]))
    scored = vqa_files.VQA()(upload, tmp_path / "v2_mscoco_test-dev2015_annotations.json")
    report = task.score(predictions)
    assert report.scores["accuracy"] == pytest.approx(scored.scores["accuracy"], abs=0.01)
    assert 50 < report.scores["accuracy"] < 90


def test_vizwiz_by_picture(tmp_path):
    vizwiz.write(tmp_path, pictures=20)
    task = VizWiz()
    predictions = said(task, formats.VizWiz(), tmp_path, "test", lambda text: "nine", str.capitalize)
    _, upload = task.write_submission(predictions, tmp_path / "out")
    scored = vqa_files.VQA()(upload, tmp_path / "test.json")
    assert task.score(predictions).scores["accuracy"] == pytest.approx(scored.scores["accuracy"], abs=0.01)
