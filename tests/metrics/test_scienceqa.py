"""ScienceQA against official parses and the rules in words."""

from __future__ import annotations

import pytest

from vl_dora.metrics import scienceqa
from vl_dora.metrics.scienceqa import Problem, choice, letter


def test_reads_every_answer_as_the_official_evaluator_does(kit):
    sample = kit("scienceqa_answers")
    said = {row["question_id"]: row["text"] for row in sample["predictions"]}
    assert len(sample["parsed_answer"]) == 90
    for name, parsed in sample["parsed_answer"].items():
        assert (letter(said.get(name, "FAILED")) or "FAILED") == parsed, said.get(name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("B", "B"),
        ("B. because", "B"),
        ("B.", None),
        ("b", None),
        ("The answer is B.", "B"),
        ("The answer is B", None),
        ("The answer is BC", "B"),
        ("The answer is A. The answer is B.", None),
        ("So The answer is C! ", "C"),
        ("", None),
        ("AB", None),
        ("(A)", None),
    ],
)
def test_a_letter_is_read_in_three_ways_only(text, found):
    assert letter(text) == found


def test_a_letter_beyond_the_choices_is_no_choice():
    assert choice("C", 3) == 2
    assert choice("C", 2) == -1
    assert choice("The answer is Z.", 5) == -1


PROBLEMS = [
    Problem(2, 0, "natural science", "grade2", "biology", has_hint=True, has_image=True),
    Problem(2, 1, "social science", "grade8", "history"),
    Problem(4, 3, "language science", "grade12", "verbs", has_hint=True),
]


def test_the_table_and_empty_groups():
    scored = scienceqa.score(["A", "A", "D"], PROBLEMS, [True, False, False])
    assert scored.scores == pytest.approx({"accuracy": 200 / 3, "image_accuracy": 100.0})
    assert scored.by_type["table"] == {
        "NAT": 100.0,
        "SOC": 0.0,
        "LAN": 100.0,
        "TXT": 100.0,
        "IMG": 100.0,
        "NO": 0.0,
        "G1-6": 100.0,
        "G7-12": 50.0,
    }
    alone = scienceqa.score(["A"], PROBLEMS[:1], [True]).by_type["table"]
    assert alone["SOC"] == alone["NO"] == alone["G7-12"] == -1


def test_a_missing_answer_is_wrong_and_never_one_with_a_picture():
    scored = scienceqa.score([None, "B", "D"], PROBLEMS, [True, True, False])
    assert scored.scores == pytest.approx({"accuracy": 200 / 3, "image_accuracy": 100.0})


def test_without_any_picture_there_is_no_image_accuracy():
    scored = scienceqa.score(["A"], PROBLEMS[:1], [False])
    assert list(scored.scores) == ["accuracy"] and "no prompt holds a picture" in scored.notes[0]
