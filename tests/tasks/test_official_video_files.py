"""What a video task reports is what the benchmark's own files give, over worlds drawn in these files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.utils import instantiate

from vl_dora.batch import Prediction
from vl_dora.benchmarks.captions import Captions
from vl_dora.benchmarks.multiple_choice import NExTQA, ValueChoice
from vl_dora.benchmarks.open_video_qa import ActivityNetQA, MostFrequentQA


def made(name: str) -> tuple[Any, Any, Callable[..., None]]:
    """Task, reader and embedded world of an experiment, as its configs say."""
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        config = hydra.compose("train", [f"experiment={name}", "paths.run_dir=unused"])
    parts = (config.task, config.data.files, config.data.embedded)
    task, files, embedded = (instantiate(part, _convert_="all") for part in parts)
    return task, files, embedded


def said(task: Any, files: Any, folder: Path, wrong: Callable[[str], str]) -> list[Prediction]:
    """A prediction of every sample of test, one of three wrong."""
    examples = [task.example(row) for row, _ in files.rows(folder, "test")]
    texts = [e.target if n % 3 else wrong(e.target) for n, e in enumerate(examples)]
    return [Prediction(example, text) for example, text in zip(examples, texts, strict=True)]


def next_choice(text: str) -> str:
    return f"a{(int(text[1:]) + 1) % 4}"


@pytest.mark.parametrize(
    ("name", "wrong", "official", "references", "scale"),
    [
        ("tvqa", next_choice, ValueChoice(), "ann/tvqa/tvqa_test_public.jsonl", 1),
        ("how2qa", next_choice, ValueChoice(), "ann/how2qa/how2qa_test_public_release.jsonl", 1),
        ("nextqa_mc", next_choice, NExTQA(), "test.csv", 1),
        ("msvd_qa", "not {}".format, MostFrequentQA(), "test_qa.json", 100),
        ("msrvtt_qa", "not {}".format, MostFrequentQA(), "test_qa.json", 100),
        ("activitynet_qa", "not {}".format, ActivityNetQA(), "test_a.json", 100),
        ("tvc", "then {}".format, Captions("value"), "ann/tvc/tvc_test_release.jsonl", 1),
        ("yc2c", "then {}".format, Captions("value"), "ann/yc2c/yc2c_test_release.jsonl", 1),
    ],
)
def test_the_submission_scores_as_the_task_does(name, wrong, official, references, scale, tmp_path):
    task, files, embedded = made(name)
    embedded(tmp_path, train=1, val=1, test=6)
    predictions = said(task, files, tmp_path, wrong)
    report = task.score(predictions)
    (submission,) = task.write_submission(predictions, tmp_path / "out")
    scored = official(submission, tmp_path / references)
    expected = {key.lower(): scale * value for key, value in scored.scores.items()}
    assert report.scores == pytest.approx(expected, abs=0.00501)
    assert 0 < report.scores[task.headline] and report.per_sample.keys() == {p.id for p in predictions}
    mean = sum(report.per_sample.values()) / len(predictions)
    assert mean == pytest.approx(report.scores[task.headline])
    assert all((tmp_path / p.example.frames.path).is_file() for p in predictions)
