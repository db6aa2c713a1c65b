"""Scores of video questions by the rules in words."""

from __future__ import annotations

import pytest

from vl_dora.metrics import multiple_choice, open_video_qa


def test_value_accuracy_is_percent_with_two_places_and_by_show():
    scored = multiple_choice.score([0, 1, 2], [0, 1, 1], ["v", "v", "w"], ["Friends", "House", "House"])
    assert scored.scores == {"accuracy": 66.67}
    assert scored.by_type == {"show": {"Friends": 100.0, "House": 50.0}}
    assert scored.clusters == ["v", "v", "w"]


def test_nextqa_counts_present_as_next_and_sums_up_by_family():
    scored = multiple_choice.score_nextqa(
        [0, 1, 2, 3, 4], [0, 1, 2, 0, 0], list("abcde"), ["CW", "CH", "TP", "TN", "DO"]
    )
    assert scored.scores == {"accuracy": 60.0, "causal": 100.0, "temporal": 50.0, "descriptive": 0.0}
    assert scored.by_type["type"]["TN before and after"] == 50.0
    with pytest.raises(ValueError, match=r"unknown NExT-QA types \['XX'\]"):
        multiple_choice.score_nextqa([0], [0], ["a"], ["XX"])


def test_activitynet_free_is_the_accuracy_over_types_three_to_eight():
    scored = open_video_qa.score_activitynet(
        ["yes", "a", "two", "red"], ["yes", "b", "two", "Red"], [3, 0, 7, 4], list("abcd")
    )
    assert scored.scores == pytest.approx({"accuracy": 0.5, "free": 2 / 3})
    assert scored.by_type["type"] == {"0 motion": 0.0, "3 yes/no": 1.0, "4 color": 0.0, "7 number": 1.0}
    assert "order in which" in scored.notes[0]
    with pytest.raises(ValueError, match="types are 0 to 8, got"):
        open_video_qa.score_activitynet(["a"], ["a"], [9], ["v"])


def test_an_answer_outside_the_vocabulary_is_wrong_and_still_counts():
    known = open_video_qa.frequent_answers(["dog", "dog", "cat", "cow"], size=2)
    assert known == {"dog", "cat"}
    said = ["dog", "cow", "cat"]
    questions = ["what is it?", "What eats?", "who runs?"]
    scored = open_video_qa.score_most_frequent(said, ["dog", "cow", "dog"], questions, list("abc"), known)
    assert scored.scores["accuracy"] == pytest.approx(1 / 3)
    assert scored.by_type == {"question_word": {"what": 0.5, "who": 0.0}}
    assert "1 of 3 right answers lie outside" in scored.notes[0]
    free = open_video_qa.score_most_frequent(said, ["dog", "cow", "dog"], questions, list("abc"))
    assert free.scores["accuracy"] == pytest.approx(2 / 3)
