"""Baselines by hand, and against the figures that the data sets' papers and READMEs give."""

from __future__ import annotations

import pytest

from data_modules import formats
from vl_dora.batch import Example, ImageRef
from vl_dora.metrics import captions
from vl_dora.tasks.baselines import human_agreement, majority, question_only
from vl_dora.tasks.captioning import Captioning
from vl_dora.tasks.nlvr_cornell import NLVRCornell
from vl_dora.tasks.shapes import Shapes
from vl_dora.tasks.vqa import VQA


def example(number, prompt, target, kind=None) -> Example:
    groups = {"question_type": kind} if kind else {}
    return Example(str(number), prompt, target, answers=(target,) * 10, groups=groups)


def read(task, reader, root, split):
    return [task.example(row) for row, _ in reader.rows(root, split)]


def test_majority_of_nlvr_dev_is_the_published_figure(shared):
    task, root = NLVRCornell(), shared / "data" / "nlvr"
    train, dev = (read(task, formats.NLVRCornell(), root, split) for split in ("train", "dev"))
    report = majority(task, train, dev)
    assert round(report.scores["accuracy"], 1) == 55.3
    assert report.by_type["label"] == {"false": 0, "true": 100}


def test_majority_of_shapes_val_is_its_share_of_false(shared):
    task, root = Shapes(), shared / "data" / "shapes"
    train, val = (read(task, formats.Shapes(), root, split) for split in ("train.small", "val"))
    assert majority(task, train, val).scores["accuracy"] == pytest.approx(100 * 630 / 1024)


def test_question_only_is_the_best_answer_to_each_prompt(shared):
    task, root = Shapes(), shared / "data" / "shapes"
    val = read(task, formats.Shapes(), root, "val")
    report = question_only(task, val, val)
    # Told the test answers themselves, it gets the larger share of every question right.
    by_question = {}
    for item in val:
        by_question.setdefault(item.prompt, []).append(item.target == "true")
    best = sum(max(sum(hits), len(hits) - sum(hits)) for hits in by_question.values())
    assert report.scores["accuracy"] == pytest.approx(100 * best / len(val))


def test_question_only_backs_off_from_prompt_to_type_to_all():
    train = [
        example(1, "vqa: how many dogs?", "4", "how many"),
        example(2, "vqa: how many cats?", "2", "how many"),
        example(3, "vqa: how many cows?", "2", "how many"),
        *(example(n, f"vqa: {n}?", "yes", "is it") for n in range(4, 8)),
    ]
    test = [
        example(11, "vqa: how many dogs?", "4", "how many"),
        example(12, "vqa: how many hens?", "2", "how many"),
        example(13, "vqa: where?", "yes", "where"),
        example(14, "vqa: whose?", "yes"),
    ]
    assert question_only(VQA(), train, test).per_sample == {"11": 100, "12": 100, "13": 100, "14": 100}
    assert majority(VQA(), train, test).per_sample == {"11": 0, "12": 0, "13": 100, "14": 100}


def test_a_tie_does_not_depend_on_the_order_of_rows():
    train = [example(1, "vqa: a?", "red"), example(2, "vqa: b?", "blue")]
    test = [example(3, "vqa: c?", "blue")]
    for rows in (train, train[::-1]):
        assert majority(VQA(), rows, test).scores["accuracy"] == 100


def test_no_training_examples_is_an_error():
    with pytest.raises(ValueError, match="needs training examples"):
        majority(VQA(), [], [example(1, "vqa: a?", "red")])
    with pytest.raises(ValueError, match="needs training examples"):
        question_only(VQA(), iter([]), [example(1, "vqa: a?", "red")])


def test_people_are_scored_in_turn_against_each_other():
    texts = {
        1: ("a man on a moped", "a man rides a moped", "someone with a helmet"),
        2: ("a girl and a candle", "a girl blows out a candle", "a small cake"),
        3: ("a train", "a long train by the sea", "the sea"),
    }
    test = [
        Captioning().example({"image_id": n, "captions": said, "images": (ImageRef(f"{n}.png"),)})
        for n, said in texts.items()
    ]
    rounds = [
        captions.score(
            [said[place] for said in texts.values()],
            [[text for text in said if text != said[place]] for said in texts.values()],
        ).scores
        for place in range(3)
    ]
    found = human_agreement(Captioning(), [], test)
    assert found is not None
    assert found.scores == pytest.approx(
        {name.lower(): 100 * sum(scores[name] for scores in rounds) / 3 for name in rounds[0]}
    )


def test_people_of_one_mind_agree_fully_and_types_are_kept_apart():
    test = [example(1, "q?", "yes", "is it"), example(2, "q?", "2", "how many")]
    found = human_agreement(VQA(), [], test)
    assert found is not None and found.scores["accuracy"] == 100
    assert found.by_type["question_type"] == {"is it": 100, "how many": 100}


def test_one_answer_is_no_agreement():
    one = Example("3", "q?", "yes", answers=("yes",))
    assert human_agreement(VQA(), [], [example(1, "q?", "yes"), one]) is None
    assert human_agreement(VQA(), [], []) is None
