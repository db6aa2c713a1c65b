"""POPE: scores by category and their means, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.tasks.pope import POPE


def prediction(number, category, label, text):
    row = {
        "question_id": number,
        "asked_id": number,
        "text": "Is there a cup in the image?",
        "category": category,
        "label": label,
        "images": (ImageRef(f"{number % 2}.jpg"),),
    }
    return Prediction(POPE().example(row), text)


PREDICTIONS = [
    prediction(1, "random", "yes", "Yes, there is."),
    prediction(2, "random", "no", "No"),
    prediction(3, "popular", "yes", "Yes"),
    prediction(4, "popular", "no", "Yes"),
    prediction(5, "popular", "yes", "It is not there."),
]


def test_scores_are_means_over_the_categories():
    report = POPE().score(PREDICTIONS)
    # random: all right. popular: TP 1, FP 1, FN 1: precision, recall and F1 one half, accuracy one third.
    assert report.scores == pytest.approx(
        {"f1": 75, "accuracy": 200 / 3, "precision": 75, "recall": 75, "yes": (50 + 200 / 3) / 2}
    )
    assert report.by_type["category"] == pytest.approx({"random": 100, "popular": 50})
    assert report.by_type["category_accuracy"] == pytest.approx({"random": 100, "popular": 100 / 3})
    assert report.by_type["category_yes"] == pytest.approx({"random": 50, "popular": 200 / 3})


def test_intervals_rest_on_the_scores_and_pictures_are_clusters():
    report = POPE().score(PREDICTIONS)
    found = report.weighted()(np.array([[1.0] * 5, [1.0, 1.0, 1.0, 0.0, 0.0]]))
    assert found["f1"] == pytest.approx([75, 100])
    assert report.per_sample == {"1": 100, "2": 100, "3": 100, "4": 0, "5": 0}
    assert report.clusters["1"] == report.clusters["3"] != report.clusters["2"]
