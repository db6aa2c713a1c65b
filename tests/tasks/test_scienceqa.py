"""ScienceQA: letters read by LLaVA's rule, with and without pictures."""

from __future__ import annotations

import numpy as np
import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.tasks.scienceqa import ScienceQA


def prediction(number, text, answer=0, image=True, subject="natural science", hint=""):
    row = {
        "question_id": str(number),
        "asked_id": str(number),
        "text": "Q?",
        "choices": ["x", "y"],
        "answer": answer,
        "hint": hint,
        "subject": subject,
        "grade": "grade3",
        "topic": "biology",
        "images": (ImageRef(f"images/test/{number}/image.png"),) if image else (),
    }
    return Prediction(ScienceQA().example(row), text)


PREDICTIONS = [
    prediction(1, "A"),
    prediction(2, "B. y", answer=1, image=False, hint="Look."),
    prediction(3, "The answer is B.", image=True),
    prediction(4, "C", answer=1, image=False, subject="social science"),  # no third choice
]


def test_accuracy_over_all_and_over_those_with_a_picture():
    report = ScienceQA().score(PREDICTIONS)
    assert report.scores == pytest.approx({"accuracy": 50, "image_accuracy": 50})
    assert report.per_sample == {"1": 100, "2": 100, "3": 0, "4": 0}
    again = report.weighted()(np.array([[1.0, 0.0, 0.0, 1.0]]))
    assert {name: float(row[0]) for name, row in again.items()} == {"accuracy": 50, "image_accuracy": 100}


def test_the_table_has_the_groups_that_have_problems():
    table = ScienceQA().score(PREDICTIONS).by_type["table"]
    assert table == pytest.approx({"NAT": 200 / 3, "SOC": 0, "TXT": 100, "IMG": 50, "NO": 0, "G1-6": 50})


def test_without_any_picture_there_is_no_image_accuracy():
    assert list(ScienceQA().score([PREDICTIONS[1]]).scores) == ["accuracy"]
