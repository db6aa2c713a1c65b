"""MMBench: which letter a text means, and when a question counts as right."""

from __future__ import annotations

import pytest

from vl_dora.metrics.mmbench import Item, letter, score

OPTIONS = ("a leaf", "A stone", "a cup")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", "B"),
        (" B.\n", "B"),
        ("(C)", "C"),
        ("B. A stone", "B"),
        ("B: because it is hard", "B"),
        ("A) a leaf", "A"),
        ("The answer is B because it is hard", "B"),
        ("the answer is: (C)", "C"),
        ("A Stone.", "B"),
        ("D", None),  # there are three options
        ("A leaf blows", None),  # an article, not a letter
        ("The answer is A or the answer is B", None),
        ("a", None),
        ("AB", None),
        ("", None),
    ],
)
def test_a_text_is_read_as_a_letter_by_the_written_rules(text, expected):
    assert letter(text, OPTIONS) == expected


def test_an_option_that_is_there_twice_is_none():
    assert letter("same", ("same", "Same.", "other")) is None


def item(index, answer="A", **groups):
    return Item(index, OPTIONS, answer, groups)


def test_every_order_of_the_options_must_be_right():
    items = [item(1_000_007, "B"), item(7, "A"), item(8, "A"), item(2_000_008, "C")]
    scored = score(["B", "A", "A", "A"], items)
    assert scored.scores == {"accuracy": 50.0, "accuracy_a_row": 75.0}
    assert scored.per_question == (100.0, 0.0)
    assert scored.first == (1, 2)  # the rows of index 7 and 8


def test_without_orders_there_is_one_accuracy_broken_down_by_group():
    items = [item(1, category="x", l2="u"), item(2, category="y", l2="u"), item(3, category="y", l2="u")]
    scored = score(["A", "A", "B"], items)
    assert scored.scores == {"accuracy": pytest.approx(200 / 3)}
    assert scored.by_type == {"category": {"x": 100.0, "y": 50.0}, "l2": {"u": pytest.approx(200 / 3)}}


def test_nothing_to_score_and_an_answer_that_is_no_option_are_errors():
    with pytest.raises(ValueError, match="of no predictions is undefined"):
        score([], [])
    with pytest.raises(ValueError, match="the answer of row 1 is 'D', none of its options"):
        score(["A"], [item(1, "D")])
