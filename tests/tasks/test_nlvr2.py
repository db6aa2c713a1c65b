"""NLVR2 as a task: prompt, words, scores and the leaderboard's file."""

from __future__ import annotations

import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.metrics.statistic import at_once
from vl_dora.tasks.interface import Task
from vl_dora.tasks.nlvr2 import NLVR2

PAIR = (ImageRef("dev/dev-1-0-img0.png"), ImageRef("dev/dev-1-0-img1.png"))


def row(identifier="dev-1-0-0", label="True", **more) -> dict:
    return {"identifier": identifier, "sentence": "There are {dogs}.", "label": label, "images": PAIR, **more}


def predictions(*pairs, task=None):
    task = task or NLVR2()
    return [Prediction(task.example(given), text) for given, text in pairs]


def test_is_a_task():
    assert isinstance(NLVR2(), Task)


def test_an_example_asks_for_a_word_about_two_pictures():
    example = NLVR2().example(row())
    assert example.prompt == "nlvr: There are {dogs}." and example.images == PAIR
    assert (example.id, example.target, example.answers) == ("dev-1-0-0", "true", ("true",))
    assert NLVR2().example(row(label="False")).target == "false"
    bare = {key: value for key, value in row().items() if key != "label"}
    assert (NLVR2().example(bare).target, NLVR2().example(bare).answers) == ("", ())


def test_other_words_may_stand_for_the_labels():
    task = NLVR2(words=["no", "yes"])
    assert [task.example(row(label=label)).target for label in ("False", "True")] == ["no", "yes"]
    report = task.score(predictions((row("dev-1-0-0"), "Yes"), (row("dev-1-1-0"), "true"), task=task))
    assert report.scores["accuracy"] == 50


@pytest.mark.parametrize("words", [["yes"], ["yes", "Yes "], ["", "yes"], ["a", "b", "c"]])
def test_words_must_be_two_and_differ(words):
    with pytest.raises(ValueError, match="task.words=.* must be two different words"):
        NLVR2(words=words)


def test_a_label_of_another_kind_is_an_error():
    with pytest.raises(ValueError, match="the label must be True or False, got 'true'"):
        NLVR2().example(row(label="true"))


def test_a_sentence_is_consistent_only_if_all_its_pairs_are_right():
    rows = (
        (row("dev-1-0-0"), "true"),
        (row("dev-1-1-0", "False"), "false"),
        (row("dev-1-0-1"), "true"),
        (row("dev-1-1-1", "False"), "true"),
    )
    report = NLVR2().score(predictions(*rows))
    assert report.scores == at_once(report.weighted(), 4) == {"accuracy": 75, "consistency": 50}
    assert report.by_type == {"label": {"false": 50, "true": 100}}
    assert report.clusters["dev-1-0-0"] == report.clusters["dev-1-1-0"] != report.clusters["dev-1-0-1"]


def test_subsets_have_scores_of_their_own():
    rows = (
        (row("dev-1-0-0", subset="balanced"), "true"),
        (row("dev-2-0-0", subset="unbalanced"), "false"),
        (row("dev-3-0-0"), "false"),
    )
    scores = NLVR2().score(predictions(*rows)).scores
    assert scores["accuracy"] == pytest.approx(100 / 3)
    assert (scores["balanced_accuracy"], scores["balanced_consistency"]) == (100, 100)
    assert (scores["unbalanced_accuracy"], scores["unbalanced_consistency"]) == (0, 0)


def test_a_third_word_is_wrong_whatever_the_label_and_is_counted(caplog):
    report = NLVR2().score(predictions((row("dev-1-0-0"), "maybe"), (row("dev-1-1-0", "False"), "maybe")))
    assert report.scores["accuracy"] == 0
    assert "2 of 2 texts are neither false nor true" in caplog.text


def test_the_submission_has_a_line_a_row(tmp_path):
    rows = ((row("test1-1-0-0"), " True"), (row("test1-1-1-0"), "false"), (row("test1-1-2-0"), "?"))
    (path,) = NLVR2().write_submission(predictions(*rows), tmp_path / "new")
    assert path.read_text() == "test1-1-0-0,True\ntest1-1-1-0,False\ntest1-1-2-0,False\n"
