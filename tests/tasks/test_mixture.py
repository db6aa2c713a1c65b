"""Several tasks scored as one: marked samples, the average, weights, files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.metrics.resampling import intervals_of
from vl_dora.tasks import baselines
from vl_dora.tasks.gqa import GQA
from vl_dora.tasks.interface import Task, TaskMixture
from vl_dora.tasks.mixture import Mixture
from vl_dora.tasks.nlvr2 import NLVR2


@pytest.fixture
def mixture() -> Mixture:
    return Mixture({"gqa": GQA(), "nlvr2": NLVR2()})


def gqa(mixture, number: int, text: str, answer: str = "yes") -> Prediction:
    row = {
        "question_id": str(number),
        "question": "Is it?",
        "label": {answer: 1.0},
        "images": (ImageRef("p"),),
    }
    return Prediction(mixture.member("gqa").example(row), text)


def nlvr2(mixture, pair: int, text: str, label: str = "True") -> Prediction:
    identifier = f"dev-1-{pair}-0"
    row = {"identifier": identifier, "sentence": "Dogs.", "label": label, "images": (ImageRef("p"),) * 2}
    return Prediction(mixture.member("nlvr2").example(row), text)


@pytest.fixture
def predictions(mixture) -> list[Prediction]:
    """GQA three of four right, NLVR2 one of two."""
    found = [gqa(mixture, n, "yes" if n else "no") for n in range(4)]
    return found + [nlvr2(mixture, 0, "true"), nlvr2(mixture, 1, "true", "False")]


def test_is_a_task_and_so_is_each_member(mixture):
    assert isinstance(mixture, Task) and isinstance(mixture, TaskMixture)
    assert isinstance(mixture.member("gqa"), Task)


def test_samples_are_marked_with_their_task(mixture):
    example = gqa(mixture, 7, "").example
    assert example.id == "gqa/7" and example.groups["task"] == "gqa" and example.prompt == "gqa: Is it?"


def test_the_average_of_the_headlines_leads_and_every_score_has_its_tasks_name(mixture, predictions):
    report = mixture.score(predictions)
    assert report.scores == {
        "average": 62.5,
        "gqa/accuracy": 75,
        "nlvr2/accuracy": 50,
        "nlvr2/consistency": 0,
    }
    assert next(iter(report.scores)) == mixture.headline
    assert report.by_type["task"] == {"gqa": 75, "nlvr2": 50}
    assert report.by_type["nlvr2/label"] == {"false": 0, "true": 100}


def test_each_task_is_scored_by_its_own_samples_whatever_they_weigh(mixture, predictions):
    report = mixture.score(predictions)
    assert list(report.per_sample) == [p.id for p in predictions]
    found = report.weighted()(np.array([[1.0] * 6, [2, 1, 0, 1, 3, 3]]))
    # Of GQA the first is wrong, of NLVR2 the second.
    assert {name: list(values) for name, values in found.items()} == {
        "average": [62.5, 50],
        "gqa/accuracy": [75, 50],
        "nlvr2/accuracy": [50, 50],
        "nlvr2/consistency": [0, 0],
    }


def test_the_interval_of_the_average_is_that_of_the_tasks_resampled_one_by_one(mixture):
    random = np.random.default_rng(0)
    asked = [gqa(mixture, n, "yes" if random.random() < 0.8 else "no") for n in range(300)]
    seen = [nlvr2(mixture, n, "true" if random.random() < 0.6 else "false") for n in range(60)]
    report = mixture.score(asked + seen)
    # Each sample for itself: here all samples of a task are of one cluster.
    low, high = intervals_of(report.weighted(), list(report.per_sample), resamples=4000)["average"]
    hits = np.array(list(report.per_sample.values()))
    error = np.sqrt(hits[:300].var() / 300 + hits[300:].var() / 60) / 2
    average = report.scores["average"]
    assert (low, high) == pytest.approx((average - 1.96 * error, average + 1.96 * error), abs=0.4)


def test_clusters_of_two_tasks_are_never_one(mixture, predictions):
    report = mixture.score(predictions)
    assert report.clusters["gqa/0"] == report.clusters["gqa/1"]
    assert len(set(report.clusters.values())) == 2


def test_a_task_without_answers_is_left_out_of_the_average(mixture, predictions):
    bare = {"question_id": "9", "question": "Is it?", "images": ()}
    unanswered = [Prediction(mixture.member("gqa").example(bare), "yes")]
    assert mixture.score(unanswered + predictions[4:]).scores["average"] == 50
    with pytest.raises(ValueError, match="none of the predictions has answers"):
        mixture.score(unanswered)


def test_a_prediction_of_no_task_is_an_error(mixture):
    row = {"question_id": "1", "question": "Is it?", "label": {"yes": 1.0}, "images": ()}
    with pytest.raises(ValueError, match="'1' is of none of the tasks gqa, nlvr2"):
        mixture.score([Prediction(GQA().example(row), "yes")])


def test_every_task_writes_its_own_files_under_its_own_ids(mixture, predictions, tmp_path):
    paths = mixture.write_submission(predictions, tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "gqa/gqa_results.json",
        "nlvr2/nlvr2_predictions.csv",
    ]
    assert json.loads(paths[0].read_text())[1] == {"questionId": "1", "prediction": "yes"}
    assert paths[1].read_text().splitlines()[0] == "dev-1-0-0,True"


def test_baselines_answer_with_the_training_answers_of_the_same_task(mixture, predictions):
    known = [gqa(mixture, n, "", "no").example for n in range(10)] + [
        nlvr2(mixture, n, "", "False").example for n in range(3)
    ]
    report = baselines.majority(mixture, known, [p.example for p in predictions])
    assert report.scores["gqa/accuracy"] == 0 and report.scores["nlvr2/accuracy"] == 50


def test_a_row_belongs_to_one_task(mixture):
    with pytest.raises(ValueError, match="belongs to one of the tasks gqa, nlvr2"):
        mixture.example({})


@pytest.mark.parametrize("names", [[], ["a/b"], [""]])
def test_names_are_one_or_more_without_a_slash(names):
    with pytest.raises(ValueError, match="must be one or more names without a slash"):
        Mixture({name: GQA() for name in names})
