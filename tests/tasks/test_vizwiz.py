"""VizWiz: the VQA formula on submitted answers, and how often they are that there is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.tasks.vizwiz import VizWiz


def prediction(number, text, answers, answerable):
    row = {
        "question_id": number,
        "asked_id": number,
        "text": "Q?",
        "image": f"VizWiz_val_{number}.jpg",
        "images": (ImageRef(f"val/VizWiz_val_{number}.jpg"),),
        "answers": [{"answer": answer} for answer in answers],
        "answer_type": "other" if answerable else "unanswerable",
        "answerable": answerable,
    }
    return Prediction(VizWiz().example(row), text)


PREDICTIONS = [
    prediction(1, "Unanswerable.", ["unanswerable"] * 10, 0),
    prediction(2, "unanswerable", ["cup"] * 8 + ["unanswerable"] * 2, 1),  # two others at most: .6
    prediction(3, "Cup", ["cup"] * 10, 1),
    prediction(4, "dog", ["cup"] * 10, 1),
]


def test_accuracy_and_the_shares_of_unanswerable():
    report = VizWiz().score(PREDICTIONS)
    assert report.per_sample == pytest.approx({"1": 100, "2": 60, "3": 100, "4": 0})
    assert report.scores == pytest.approx({"accuracy": 65, "says_unanswerable": 50, "is_unanswerable": 25})
    assert report.by_type["answerable"] == pytest.approx({"no": 100, "yes": 160 / 3})
    again = report.weighted()(np.ones((1, 4)))
    assert {name: float(row[0]) for name, row in again.items()} == pytest.approx(report.scores)


def test_the_upload_names_pictures(tmp_path):
    _, path = VizWiz().write_submission(PREDICTIONS[:2], tmp_path)
    assert json.loads(path.read_text()) == [
        {"image": "VizWiz_val_1.jpg", "answer": "unanswerable"},
        {"image": "VizWiz_val_2.jpg", "answer": "unanswerable"},
    ]
