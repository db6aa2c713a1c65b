"""VQA as a task: prompt, targets, score and the EvalAI file."""

from __future__ import annotations

import json

import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.metrics.statistic import at_once
from vl_dora.tasks.interface import Task
from vl_dora.tasks.vqa import VQA

PICTURE = ImageRef("val2014/COCO_val2014_000000000001.jpg")


def row(
    number=10, answers=("2",) * 4 + ("two",) * 3 + ("3", "4", "4"), kind="how many", image=PICTURE
) -> dict:
    return {
        "question_id": number,
        "image_id": 1,
        "question": "How many {dogs}?",
        "question_type": kind,
        "answer_type": "number",
        "answers": [{"answer": answer, "answer_id": i} for i, answer in enumerate(answers, 1)],
        "images": (image,),
    }


def predictions(*pairs):
    return [Prediction(VQA().example(given), text) for given, text in pairs]


def test_is_a_task():
    assert isinstance(VQA(), Task)


def test_the_prompt_is_the_question_behind_the_tasks_name():
    assert VQA().example(row()).prompt == "vqa: How many {dogs}?"
    assert VQA(prompt="Q: {question} A:").example(row()).prompt == "Q: How many {dogs}? A:"


def test_a_prompt_without_the_questions_place_is_an_error():
    with pytest.raises(ValueError, match="task.prompt='vqa' must contain {question}"):
        VQA(prompt="vqa")


def test_targets_are_the_soft_labels_and_the_most_common_answer_leads():
    example = VQA().example(row())
    assert example.target == "2"
    assert dict(example.targets) == {"2": 1.0, "two": 0.9, "4": 0.6, "3": 0.3}
    assert example.answers == ("2",) * 4 + ("two",) * 3 + ("3", "4", "4")


def test_a_question_without_answers_gives_an_example_that_cannot_be_scored():
    bare = {key: value for key, value in row().items() if key in ("question_id", "question", "images")}
    example = VQA().example(bare)
    assert (example.target, example.answers, example.targets) == ("", (), ())
    with pytest.raises(ValueError, match="'10' has no answers to score against"):
        VQA().score([Prediction(example, "2")])


def test_scores_are_official_percent_broken_down_by_type():
    report = VQA().score(predictions((row(1), "two"), (row(2, ("red",) * 10, "what color"), "red")))
    # "2" and "two" are one word once the ten humans disagree: seven matches.
    assert report.scores["accuracy"] == pytest.approx(100)
    assert report.by_type == {
        "question_type": {"how many": 100, "what color": 100},
        "answer_type": {"number": 100},
    }
    assert report.scores["accuracy_vl_t5"] == pytest.approx(100)


def test_the_vl_t5_figure_stands_beside_the_official_one():
    report = VQA().score(predictions((row(1, ("two",) * 9 + ("2",)), "two")))
    assert report.scores == {"accuracy": pytest.approx(100), "accuracy_vl_t5": pytest.approx(30)}


def test_the_headline_is_the_mean_of_the_samples():
    report = VQA().score(predictions((row(1), "3"), (row(2), "4"), (row(3), "no")))
    assert VQA().headline == next(iter(report.scores)) == "accuracy"
    assert report.per_sample == pytest.approx({"1": 30, "2": 60, "3": 0})
    assert report.scores["accuracy"] == pytest.approx(30)
    assert at_once(report.weighted(), 3) == pytest.approx(report.scores)


def test_questions_on_one_picture_are_one_cluster():
    other = ImageRef("val2014/COCO_val2014_000000000002.jpg")
    report = VQA().score(predictions((row(1), "2"), (row(2), "2"), (row(3, image=other), "2")))
    assert report.clusters["1"] == report.clusters["2"] != report.clusters["3"]


def test_one_id_scored_twice_and_no_predictions_are_errors():
    with pytest.raises(ValueError, match="the id '1' was predicted twice"):
        VQA().score(predictions((row(1), "2"), (row(1), "2")))
    with pytest.raises(ValueError, match="no predictions to score"):
        VQA().score([])


def test_the_submission_is_evalais_list(tmp_path):
    (path,) = VQA().write_submission(predictions((row(7), " café "), (row(8), "")), tmp_path / "new")
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"question_id": 7, "answer": "café"},
        {"question_id": 8, "answer": ""},
    ]
    assert [file.name for file in path.parent.iterdir()] == ["vqa_results.json"]
