"""Two processes on a CPU do what one does, alone and as trials of a sweep."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow
# Batches of 8 over all processes, no dropout, 15 test samples, which two cannot share evenly.
SAME = [
    "model.network.text.dropout=0",
    "trainer.accelerator=cpu",
    "data.limit.test=15",
    "data.limit.train=22",
]
SAME += ["trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.log_every_n_steps=1"]
TWO = ["trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=4"]


def call(*overrides: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vl_dora.train", *overrides],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def runs(small, train, tmp_path_factory) -> Path:
    """A folder with the run of one process, and a sweep of two runs of two processes each."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "one", *SAME)
    done = call("-m", *small.overrides, *SAME, *TWO, "paths.run_dir=two", "seed=1,2", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "said").write_text(done.stderr)
    return folder


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def logged(folder: Path, column: str) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def test_losses_and_weights_are_those_of_one_process_to_float32(runs):
    one, two = runs / "one", runs / "two" / "0"
    assert logged(two, "train/loss") == pytest.approx(logged(one, "train/loss"), rel=1e-5)
    assert len(logged(two, "train/loss")) == 4
    states = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (one, two)
    ]
    for name, tensor in states[0].items():
        # AdamW makes steps of 3e-3 of gradients near zero, too, whose last bits differ.
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=3e-5)


def test_every_sample_is_scored_once_and_the_scores_are_those_of_one_process(runs):
    one, two = runs / "one", runs / "two" / "0"
    lines = [
        [json.loads(line) for line in (f / "predictions.jsonl").read_text().splitlines()] for f in (one, two)
    ]
    assert [line["id"] for line in lines[1]] == [line["id"] for line in lines[0]]
    assert len({line["id"] for line in lines[1]}) == 15
    for name in ("scores", "interval", "before", "baselines", "objective"):
        assert results(two)[name] == results(one)[name], name
    assert logged(two, "val/accuracy") == logged(one, "val/accuracy")


def test_processes_that_help_do_not_start_the_sweep_again(runs):
    assert sorted(path.name for path in (runs / "two").iterdir() if path.is_dir()) == ["0", "1"]
    assert (runs / "said").read_text().count("Launching 2 jobs locally") == 1
    assert [results(runs / "two" / name)["seed"] for name in ("0", "1")] == [1, 2]
    assert results(runs / "two" / "1")["steps"] == 4
