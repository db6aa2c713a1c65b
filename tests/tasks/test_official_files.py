"""What a task reports is what the benchmark's own files give: submission against official annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_modules import formats
from data_modules.scenes import captions, gqa, nlvr2
from vl_dora.batch import Prediction
from vl_dora.benchmarks import captions as caption_files
from vl_dora.benchmarks import gqa as gqa_files
from vl_dora.benchmarks import nlvr2 as nlvr2_files
from vl_dora.tasks.captioning import Captioning
from vl_dora.tasks.gqa import GQA
from vl_dora.tasks.nlvr2 import NLVR2


def said(task: Any, reader: Any, folder: Path, split: str, wrong: Callable[[str], str]) -> list[Prediction]:
    """A prediction of every sample of a split, one of three wrong."""
    examples = [task.example(row) for row, _ in reader.rows(folder, split)]
    texts = [e.target if n % 3 else wrong(e.target) for n, e in enumerate(examples)]
    return [Prediction(example, text) for example, text in zip(examples, texts, strict=True)]


def test_gqa(tmp_path):
    gqa.write(tmp_path, train=1, val=1, testdev=25)
    wrong = {"yes": "no", "no": "yes", "red": "blue"}
    task, reader = GQA(), formats.GQA()
    predictions = said(task, reader, tmp_path, "testdev_all", lambda text: wrong.get(text, "red"))
    (submission,) = task.write_submission(predictions, tmp_path / "out")
    official = gqa_files.GQA(choices=tmp_path / "testdev_choices.json")
    scored = official(submission, tmp_path / "testdev_all_questions.json")
    report = task.score(predictions)
    for name in ("accuracy", "binary", "open", "consistency"):
        assert report.scores[name] == pytest.approx(scored.scores[name]), name
        assert 40 < report.scores[name] < 90, name
    assert report.by_type["steps"] == pytest.approx(scored.by_type["steps"])
    assert report.by_type["words"] == pytest.approx(scored.by_type["words"])
    # "red" is no answer to what is left of something, nor to a choice of two other colours.
    assert scored.scores["validity"] < 95 and scored.scores["plausibility"] < 95


def test_nlvr2(tmp_path):
    nlvr2.write(tmp_path, train=1, dev=6, test1=1)
    task, reader = NLVR2(words=["no", "yes"]), formats.NLVR2()
    predictions = said(task, reader, tmp_path, "val", lambda text: "no" if text == "yes" else "yes")
    (submission,) = task.write_submission(predictions, tmp_path / "out")
    official = nlvr2_files.NLVR2(
        balanced=tmp_path / "balanced" / "balanced_dev.json",
        unbalanced=tmp_path / "unbalanced" / "unbalanced_dev.json",
    )
    scored = official(submission, tmp_path / "dev.json")
    assert len(scored.scores) == 6
    assert task.score(predictions).scores == pytest.approx({k: 100 * v for k, v in scored.scores.items()})


def test_captions(tmp_path):
    captions.write(tmp_path, train=1, val=1, test=12)
    task, reader = Captioning(), formats.CocoCaptions()
    predictions = said(task, reader, tmp_path, "test", lambda text: text.replace("a ", "the ", 1))
    (submission,) = task.write_submission(predictions, tmp_path / "out")
    scored = caption_files.Captions()(submission, tmp_path / "dataset_coco.json")
    expected = {name.lower(): 100 * value for name, value in scored.scores.items()}
    assert task.score(predictions).scores == pytest.approx(expected)
    assert 100 < expected["cider"] < 1000
