"""VQA accuracy against figures of the official evaluator, and against its rules in words."""

from __future__ import annotations

import copy
import json

import pytest

from vl_dora.metrics import vqa_accuracy
from vl_dora.metrics.contractions import CONTRACTIONS
from vl_dora.metrics.vqa_accuracy import normalise, official_accuracy, strip_punctuation, vl_t5_accuracy


@pytest.fixture
def sample(shared):
    """(predictions, human answers, question types, answer types, official percent) of 90 questions."""
    kit = json.loads((shared / "data" / "metric_samples" / "vqa_accuracy.json").read_text(encoding="utf-8"))
    said = {row["question_id"]: row["answer"] for row in kit["results"]}
    rows = kit["annotations"]
    return (
        [said[row["question_id"]] for row in rows],
        [[answer["answer"] for answer in row["answers"]] for row in rows],
        [row["question_type"] for row in rows],
        [row["answer_type"] for row in rows],
        [kit["expected_per_question"][str(row["question_id"])] for row in rows],
    )


def test_agrees_with_the_official_evaluator_on_every_question(sample):
    predictions, humans, _, _, expected = sample
    assert [
        round(100 * official_accuracy(p, h), 2) for p, h in zip(predictions, humans, strict=True)
    ] == expected


def test_normalises_as_the_official_evaluator_does(shared):
    kit = shared / "data" / "metric_samples" / "vqa_normalisation.json"
    cases = json.loads(kit.read_text(encoding="utf-8"))["cases"]
    assert len(cases) == 110
    for case in cases:
        assert strip_punctuation(vqa_accuracy.trim(case["in"])) == case["after_punctuation"], case
        assert normalise(case["in"]) == case["out"], case


def test_means_are_taken_before_rounding_overall_and_by_type(sample):
    predictions, humans, questions, answers, expected = sample
    scores = vqa_accuracy.score(predictions, humans, questions, answers)
    assert scores.overall == round(sum(expected) / len(expected), 2)
    assert list(scores.per_sample) == pytest.approx(expected)
    for types, means in ((questions, scores.per_question_type), (answers, scores.per_answer_type)):
        assert set(means) == set(types)
        for name, mean in means.items():
            mine = [value for value, kind in zip(expected, types, strict=True) if kind == name]
            assert mean == round(sum(mine) / len(mine), 2)


def test_scoring_changes_nothing_and_gives_the_same_twice(sample):
    predictions, humans, *_ = sample
    before = copy.deepcopy((predictions, humans))
    first = vqa_accuracy.score(predictions, humans)
    assert (predictions, humans) == before
    assert vqa_accuracy.score(predictions, humans) == first


@pytest.mark.parametrize(
    ("matches", "expected"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (9, 1), (10, 1)]
)
def test_matches_are_counted_among_the_other_nine(matches, expected):
    humans = ["red"] * matches + [f"word{i}" for i in range(10 - matches)]
    assert official_accuracy("red", humans) == pytest.approx(expected)


@pytest.mark.parametrize(("prediction", "expected"), [("yes", 1), ("yes\n", 1), ("Yes", 0), ("yes.", 0)])
def test_nothing_is_normalised_where_all_humans_agree(prediction, expected):
    assert official_accuracy(prediction, ["yes"] * 10) == expected
    assert official_accuracy(prediction, ["yes"] * 9 + ["no"]) == 1


def test_one_thousands_comma_deletes_every_mark():
    assert strip_punctuation("1,000-2,000") == "10002000"
    assert strip_punctuation("a-b") == "a b"
    assert strip_punctuation("a- b") == "a b"
    assert strip_punctuation("10:25 isn't 5% & $3 #1") == "10:25 isn't 5% & $3 #1"


def test_only_thirty_two_full_stops_go():
    assert strip_punctuation("." * 40) == "." * 8


def test_a_full_stop_before_a_digit_stays_even_after_a_letter():
    assert strip_punctuation("no.1 a.b 1.5.") == "no.1 ab 1.5"


def test_articles_go_and_number_words_up_to_ten_become_digits():
    assert normalise("The TWO dogs and an eleven, none") == "2 dogs and eleven 0"


@pytest.mark.parametrize(
    ("word", "out"),
    [
        ("dont", "don't"),
        ("Im", "im"),
        ("Ive", "ive"),
        ("Id've", "id've"),
        ("its", "its"),
        ("lets", "lets"),
        ("hell", "hell"),
        ("well", "well"),
        ("were", "were"),
        ("shes", "shes"),
        ("somebody'd", "somebodyd"),
        ("couldn'tve", "couldn't've"),
        ("couldntve", "couldntve"),
        ("y'alld've", "y'all'd've"),
        ("'ows'at", "'ow's'at"),
        ("twas", "'twas"),
    ],
)
def test_contractions_are_put_right_as_the_evaluator_does(word, out):
    assert normalise(word) == out


def test_every_correction_restores_exactly_one_apostrophe_but_one():
    odd = [slip for slip, right in CONTRACTIONS.items() if len(right) != len(slip) + 1]
    assert odd == ["somebody'd"]
    assert len(CONTRACTIONS) == 114
    assert all(
        slip == slip.lower() and slip.replace("'", "") == right.replace("'", "")
        for slip, right in CONTRACTIONS.items()
    )


def test_vl_t5_never_matches_a_human_number_word_or_article():
    assert vl_t5_accuracy("two", ["two"] * 9 + ["2"]) == pytest.approx(0.3)
    assert official_accuracy("two", ["two"] * 9 + ["2"]) == 1
    assert vl_t5_accuracy("the dog", ["the dog"] * 10) == 0
    assert official_accuracy("the dog", ["the dog"] * 10) == 1


def test_vl_t5_normalises_the_prediction_even_where_all_humans_agree():
    assert vl_t5_accuracy("Yes.", ["yes"] * 10) == 1
    assert vl_t5_accuracy("yes", ["Yes"] * 10) == 0


def test_vl_t5_takes_punctuation_from_humans_that_disagree():
    humans = ["t-shirt"] * 5 + ["shirt"] * 5
    assert vl_t5_accuracy("t shirt", humans) == 1
    assert vl_t5_accuracy("t shirt", ["t-shirt"] * 10) == 0


def test_both_rules_agree_on_answers_that_are_already_normal():
    humans = ["red"] * 3 + ["blue"] * 6 + ["dark green"]
    for word in ("red", "blue", "dark green", "black"):
        assert vl_t5_accuracy(word, humans) == official_accuracy(word, humans)


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no predictions"):
        vqa_accuracy.score([], [])
    with pytest.raises(ValueError, match="at least one human answer"):
        official_accuracy("red", [])
    with pytest.raises(ValueError):
        vqa_accuracy.score(["red"], [])
