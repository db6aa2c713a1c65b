"""POPE against official verdicts and the rules in words."""

from __future__ import annotations

import pytest

from vl_dora.metrics import pope
from vl_dora.metrics.statistic import at_once


def test_reads_every_answer_as_the_official_evaluators_do(kit):
    for case in kit("pope_verdicts")["answer_to_verdict"]:
        assert pope.verdict(case["in"]) == case["out"], case


@pytest.mark.parametrize("text", ["NO", "Not", "isn't", "nope", "None", "No!", "no\n", "No,there", ""])
def test_what_looks_like_no_but_counts_as_yes(text):
    assert pope.verdict(text) == "yes"


@pytest.mark.parametrize("text", ["No", "no", "No, there is", "It is not. Yes"])
def test_what_counts_as_no(text):
    assert pope.verdict(text) == "no"


def items(*labels: str, category: str = "random") -> list[pope.Item]:
    return [pope.Item(category, f"{place}.jpg", label) for place, label in enumerate(labels)]


def test_scores_of_one_category_by_hand():
    scored = pope.score(["yes", "yes", "no", "no", "yes"], items("yes", "no", "no", "yes", "yes"))
    # TP 2, FP 1, TN 1, FN 1
    assert scored.scores == pytest.approx(
        {"f1": 2 / 3, "accuracy": 3 / 5, "precision": 2 / 3, "recall": 2 / 3, "yes": 3 / 5}
    )


def test_scores_are_means_over_the_categories():
    both = items("yes", "no") + items("yes", "no", category="popular")
    scored = pope.score(["yes", "no", "yes", "yes"], both)
    assert scored.by_type["f1"] == pytest.approx({"random": 1.0, "popular": 2 / 3})
    assert scored.scores["f1"] == pytest.approx(5 / 6)
    assert at_once(scored.statistic, 4) == scored.scores


def test_f1_without_any_positive_is_zero_instead_of_an_error():
    assert pope.score(["no", "no"], items("no", "no")).scores["f1"] == 0


def test_a_label_that_is_neither_is_an_error():
    with pytest.raises(ValueError, match="must be yes or no, got 'maybe'"):
        pope.score(["no"], items("maybe"))
