"""GQA as a task: prompt, target, the official scores and the server's file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.tasks.gqa import GQA
from vl_dora.tasks.interface import Task


def row(number="1", answer="yes", *, image="7", balanced=True, entailed=(), **types) -> dict:
    given = {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr", **types}
    return {
        "question_id": number,
        "question": "Is the sky {dark}?",
        "answer": answer,
        "isBalanced": balanced,
        "types": given,
        "groups": {"global": None if answer in ("yes", "no") else "color", "local": "06-sky"},
        "entailed": [number, *entailed],
        "semantic": [
            {"operation": "select", "dependencies": [], "argument": "sky (0)"},
            {"operation": "verify color", "dependencies": [0], "argument": "dark"},
            {"operation": "exist", "dependencies": [1], "argument": "?"},
        ],
        "images": (ImageRef(f"images/{image}.jpg"),),
    }


def predictions(*pairs):
    return [Prediction(GQA().example(given), text) for given, text in pairs]


def test_is_a_task():
    assert isinstance(GQA(), Task)


def test_the_prompt_is_the_question_behind_the_tasks_name_and_the_typo_comes_by_name_only():
    assert GQA().example(row()).prompt == "gqa: Is the sky {dark}?"
    assert GQA(prompt_typo=True).example(row()).prompt == "gpa: Is the sky {dark}?"
    with pytest.raises(ValueError, match="task.prompt='gqa' must contain {question}"):
        GQA(prompt="gqa")


def test_the_target_is_the_answer_of_either_file():
    assert GQA().example(row(answer="red")).target == "red"
    labelled = {"question_id": "3", "question": "Is it?", "label": {"no": 0.3, "yes": 1.0}, "images": ()}
    example = GQA().example(labelled)
    assert example.target == "yes" and dict(example.targets) == {"no": 0.3, "yes": 1.0}
    assert GQA().example({**labelled, "label": {"no": 1.0}}).targets == ()
    bare = GQA().example({"question_id": "3", "question": "Is it?", "images": ()})
    assert (bare.target, bare.answers) == ("", ())


def test_an_answer_is_right_letter_by_letter():
    report = GQA().score(predictions((row("1"), "yes"), (row("2"), "Yes"), (row("3"), "yes.")))
    assert report.per_sample == {"1": 100, "2": 0, "3": 0}
    assert report.scores["accuracy"] == pytest.approx(100 / 3)


def test_only_balanced_questions_count_and_all_entailed_ones_make_consistency():
    rows = (
        (row("1", entailed=("2", "3")), "yes"),
        (row("2", balanced=False), "no"),
        (row("3", balanced=False), "yes"),
        (row("4", "red", structural="query", detailed="directAttr"), "blue"),
        (row("5", "red", structural="query", detailed="directAttr"), "red"),
    )
    report = GQA().score(predictions(*rows))
    assert report.scores["accuracy"] == pytest.approx(200 / 3)
    assert report.scores["binary"] == 100 and report.scores["open"] == 50
    assert report.scores["consistency"] == 50
    assert set(report.per_sample) == set(report.clusters) == {"1", "4", "5"}
    # Questions 1 and 5 alone: all right.
    found = report.weighted()(np.array([[1.0, 1, 1], [1, 0, 1]]))
    assert {name: list(found[name]) for name in report.scores} == {
        "accuracy": [pytest.approx(200 / 3), 100],
        "binary": [100, 100],
        "open": [50, 100],
        "consistency": [50, 50],
    }
    assert "distribution" not in report.scores  # no percentage
    assert report.by_type["question_type"] == {"verifyAttr": 100, "directAttr": 50}
    assert report.by_type["steps"] == {"2": pytest.approx(200 / 3)}


def test_the_headline_is_the_mean_of_the_samples_and_leads():
    report = GQA().score(predictions((row("1"), "yes"), (row("2"), "no"), (row("3"), "yes")))
    assert GQA().headline == next(iter(report.scores)) == "accuracy"
    assert report.scores["accuracy"] == pytest.approx(sum(report.per_sample.values()) / 3)


def test_scores_that_are_undefined_are_left_out():
    assert "open" not in GQA().score(predictions((row("1"), "yes"))).scores


def test_questions_of_one_picture_are_one_cluster():
    report = GQA().score(predictions((row("1"), "yes"), (row("2"), "no"), (row("3", image="8"), "yes")))
    assert report.clusters["1"] == report.clusters["2"] != report.clusters["3"]


def test_vl_adapters_rows_are_scored_by_accuracy_alone():
    rows = [
        {"question_id": str(n), "question": "Is it?", "label": {"yes": 1.0}, "images": ()} for n in range(4)
    ]
    texts = ("yes", "no", "yes", "Yes")
    report = GQA().score([Prediction(GQA().example(r), t) for r, t in zip(rows, texts, strict=True)])
    assert report.scores == {"accuracy": 50}


def test_the_submission_is_the_official_list(tmp_path):
    (path,) = GQA().write_submission(predictions((row("07"), " yes "), (row("8"), "no")), tmp_path / "new")
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"questionId": "07", "prediction": "yes"},
        {"questionId": "8", "prediction": "no"},
    ]
