"""Cornell NLVR scores against the official scripts' output on dev."""

from __future__ import annotations

import json

import pytest

from vl_dora.metrics.nlvr_cornell import is_right, score_pictures, score_statements, summarise


@pytest.fixture
def kit(shared):
    return json.loads((shared / "data" / "metric_samples" / "nlvr1_dev.json").read_text(encoding="utf-8"))


def test_agrees_with_metrics_images_on_dev(kit):
    scores = score_pictures(kit["inputs"]["image_predictions"], kit["inputs"]["labels"])
    assert vars(scores) == kit["expected"]["images"]


def test_agrees_with_metrics_structured_rep_on_dev(kit):
    scores = score_statements(kit["inputs"]["structured_predictions"], kit["inputs"]["labels"])
    assert vars(scores) == kit["expected"]["structured"]


def test_one_wrong_picture_makes_its_presentation_inconsistent():
    labels = {"1-0": "true", "1-3": "false", "2-0": "true"}
    pictures = {f"dev-{name}-{k}.png": label for name, label in labels.items() for k in range(6)}
    assert vars(score_pictures(pictures, labels)) == {"precision": 1.0, "consistency": 1.0}
    pictures["dev-1-3-5.png"] = "true"
    assert vars(score_pictures(pictures, labels)) == {"precision": 17 / 18, "consistency": 0.5}


def test_a_missing_or_surplus_prediction_is_an_error():
    labels = {"1-0": "true"}
    pictures = {f"dev-1-0-{k}.png": "true" for k in range(6)}
    with pytest.raises(ValueError, match=r"missing 1 \['1-0-2'\], surplus 0"):
        score_pictures({name: text for name, text in pictures.items() if "-2.png" not in name}, labels)
    with pytest.raises(ValueError, match=r"surplus 1 \['1-0-6'\]"):
        score_pictures(pictures | {"dev-1-0-6.png": "true"}, labels)


def test_case_is_ignored_and_other_words_are_wrong():
    assert is_right("True", "true") and is_right(" FALSE\n", "false")
    assert not is_right("neither", "false") and not is_right("", "false") and not is_right("true.", "true")


def test_no_predictions_is_an_error():
    with pytest.raises(ValueError, match="no predictions"):
        summarise([])
