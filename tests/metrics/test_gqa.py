"""GQA scores on a small set, worked out by hand from the rules."""

from __future__ import annotations

import numpy as np
import pytest

from vl_dora.metrics import gqa
from vl_dora.metrics.statistic import at_once


def question(answer, *, structural="query", entailed=(), balanced=True, group=None, detailed="x", image="i"):
    return gqa.Question(answer, image, balanced, structural, "attr", detailed, group, tuple(entailed), 2, 4)


QUESTIONS = {
    "q1": question("red", entailed=("q2", "q3"), group="color"),
    "q2": question("yes", structural="verify", entailed=("q1",)),
    "q3": question("no", structural="verify", balanced=False),
    "q4": question("blue", group="color", entailed=("q2",)),
    "q5": question("color", detailed="twoCommon", structural="logical"),
}
PREDICTIONS = {"q1": "red", "q2": "yes", "q3": "yes", "q4": "red", "q5": "shape"}
CHOICES = {
    "q1": gqa.Choices(frozenset({"red", "blue"}), frozenset({"red"})),
    "q2": gqa.Choices(frozenset({"yes", "no"}), frozenset({"no"})),
    "q4": gqa.Choices(frozenset({"blue"}), frozenset({"blue", "red"})),
    "q5": gqa.Choices(frozenset(), frozenset()),
}


def test_scores_by_hand():
    found = gqa.score(PREDICTIONS, QUESTIONS, CHOICES).scores
    assert found == pytest.approx(
        {
            "accuracy": 50.0,  # q1, q2 of the four balanced
            "binary": 50.0,  # q2 of q2, q5
            "open": 50.0,  # q1 of q1, q4
            "consistency": 75.0,  # q1: q2 right, q3 wrong; q2: q1 right; q4 is wrong and does not count
            "validity": 75.0,  # q4's red is not in its scope; q5 is asked for one of color, material, shape
            "plausibility": 75.0,  # q2's yes is not plausible
            # colors: red expected 1 said 2, blue expected 1 said 0: (1 + 1) / 100
            "distribution": 0.02,
        }
    )


def test_averages_are_over_balanced_questions_and_by_type():
    scored = gqa.score(PREDICTIONS, QUESTIONS)
    assert scored.by_type["structural_type"] == {"logical": 0.0, "query": 50.0, "verify": 100.0}
    assert scored.by_type["steps"] == {"2": 50.0}
    assert len(scored.clusters) == 4


def test_nothing_is_normalised():
    assert gqa.score({**PREDICTIONS, "q1": "Red"}, QUESTIONS).scores["accuracy"] == 25.0


def test_validity_needs_choices_and_says_so():
    scored = gqa.score(PREDICTIONS, QUESTIONS)
    assert "validity" not in scored.scores and any("choices=<file>" in note for note in scored.notes)


def test_consistency_without_the_entailed_questions_is_left_out_and_said():
    balanced = {name: q for name, q in QUESTIONS.items() if q.balanced}
    scored = gqa.score({name: PREDICTIONS[name] for name in balanced}, balanced)
    assert "consistency" not in scored.scores
    assert "1 entailed questions are not in the references" in scored.notes[0]


def test_distribution_weighs_a_group_by_its_size():
    # Group a: one question, chi-square (0-1)^2/1 = 1; group b: three, of which red is said once of twice,
    # (1-2)^2/2 = .5, and blue twice of once, 1. (1 * 1 + 1.5 * 3) / 4 / 100.
    questions = {
        "1": question("x", group="a"),
        "2": question("red", group="b"),
        "3": question("red", group="b"),
        "4": question("blue", group="b"),
    }
    said = {"1": "y", "2": "red", "3": "blue", "4": "blue"}
    assert gqa.score(said, questions).scores["distribution"] == pytest.approx(5.5 / 4 / 100)


def test_the_statistic_gives_the_scores_of_a_repeated_question():
    scored = gqa.score(PREDICTIONS, QUESTIONS, CHOICES)
    assert at_once(scored.statistic, 4) == scored.scores
    twice = scored.statistic(np.array([[2.0, 1.0, 1.0, 0.0]]))
    assert twice["accuracy"][0] == pytest.approx(75.0)
    assert twice["consistency"][0] == pytest.approx(100 * (0.5 + 0.5 + 1) / 3)


def test_steps_that_only_phrase_the_answer_do_not_count():
    program = [("select", "car (1)"), ("filter color", "red"), ("exist", "?")]
    assert gqa.num_steps(program) == 2
    assert gqa.num_steps([("select", "car"), ("query", "name"), ("choose name", "car|bus")]) == 1
    assert gqa.num_steps([("query", "color")]) == 1


def test_no_balanced_question_is_an_error():
    with pytest.raises(ValueError, match="none of the questions is balanced"):
        gqa.score({"q3": "no"}, {"q3": QUESTIONS["q3"]})
