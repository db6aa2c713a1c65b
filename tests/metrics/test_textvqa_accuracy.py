"""TextVQA accuracy and ANLS against official figures and the rules in words."""

from __future__ import annotations

import pytest

from vl_dora.metrics.textvqa_accuracy import anls, levenshtein, normalise, stvqa_accuracy, textvqa_accuracy


def test_agrees_with_the_official_evaluator_on_every_item(kit):
    sample = kit("textvqa_accuracy")
    found = [textvqa_accuracy(item["pred_answer"], item["gt_answers"]) for item in sample["inputs"]]
    assert found == sample["expected_per_item"]


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("Joe's Diner", "joe 's diner"),
        ("1,000-2,000", "1000 2000"),
        ("yes, it is?", "yes it is"),
        ("The two", "2"),
        ("dont", "don't"),
    ],
)
def test_normalises_in_the_order_of_the_evaluator(text, out):
    assert normalise(text) == out


def test_text_is_normalised_even_where_all_humans_agree():
    assert textvqa_accuracy("YES", ["yes"] * 10) == 1


def test_other_than_ten_humans_are_an_error():
    with pytest.raises(ValueError, match="needs 10 human answers, got 9"):
        textvqa_accuracy("a", ["a"] * 9)


def test_st_vqa_asks_for_any_right_answer():
    assert stvqa_accuracy("The Dog", ["cat", "dog"]) == 1
    assert stvqa_accuracy("dogs", ["cat", "dog"]) == 0


@pytest.mark.parametrize(
    ("a", "b", "steps"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
)
def test_levenshtein_counts_single_edits(a, b, steps):
    assert levenshtein(a, b) == levenshtein(b, a) == steps


def test_anls_is_the_best_similarity_and_zero_below_a_half():
    assert anls(" Dakota ", ["dakota", "x"]) == 1
    assert anls("dakot", ["dakota"]) == pytest.approx(5 / 6)
    assert anls("ab", ["abcd"]) == 0.5
    assert anls("a", ["abc"]) == 0
    assert anls("", [""]) == 1
    with pytest.raises(ValueError, match="at least one right answer"):
        anls("a", [])
