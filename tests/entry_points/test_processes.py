"""Two processes on a CPU do what one does, alone and as trials of a sweep, and go on after a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
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


COMMAND = [sys.executable, "-m", "vl_dora.train"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def call(*overrides: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *overrides], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)


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


def test_the_order_and_the_number_of_samples_are_of_all_processes(runs):
    one, two, other = results(runs / "one"), results(runs / "two" / "0"), results(runs / "two" / "1")
    assert one["samples_seen"] == two["samples_seen"] == other["samples_seen"] > 2 * 4 * 2
    assert len({found["data_order"] for found in (one, two, other)}) == 3  # other chains, another seed


def saved(run_dir: Path, name: str = "last") -> dict:
    return torch.load(run_dir / "checkpoints" / f"{name}.ckpt", weights_only=True)


def kill_after_step(step: int, process: subprocess.Popen, run_dir: Path) -> None:
    """Ends a training and the process that it started, all at once, when a checkpoint has come so far."""
    while not (run_dir / "checkpoints" / "last.ckpt").is_file() or saved(run_dir)["global_step"] < step:
        assert process.poll() is None, "the training ended before it was killed"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_run_of_two_processes_that_was_killed_ends_as_one_that_was_not(small, tmp_path):
    given = [*small.overrides, *TWO, "trainer.accelerator=cpu", "evaluate_before=false", "data.limit.test=15"]
    given += ["data.limit.train=22", "trainer.max_steps=30", "trainer.val_check_interval=7"]
    given += ["checkpoint.every_n_steps=1", "trainer.log_every_n_steps=1"]
    done = call(*given, "paths.run_dir=whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    killed = subprocess.Popen(
        [*COMMAND, *given, "paths.run_dir=killed"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    kill_after_step(8, killed, tmp_path / "killed")
    at = saved(tmp_path / "killed")["global_step"]
    assert 8 <= at < 30
    done = call(*given, "paths.run_dir=killed", "ckpt_path=last", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, again = tmp_path / "whole", tmp_path / "killed"
    for name in ("train/loss", "val/accuracy"):
        assert logged(again, name) == logged(whole, name), name
    for name in ("scores", "objective", "samples_seen", "data_order", "steps"):
        assert results(again)[name] == results(whole)[name], name
    for name in ("last", "best"):
        expected, found = saved(whole, name), saved(again, name)
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
            assert_same(found[key], expected[key], f"{name}: {key}")
    # What each process has drawn and seen; the seconds differ.
    states = [saved(folder)["callbacks"] for folder in (again, whole)]
    assert len(states[0]["DataOrder"]["seen"]) == len(states[0]["KeepCheckpoints"]["random"]) == 2
    for name in ("DataOrder", "KeepCheckpoints"):
        assert_same(states[0][name], states[1][name], name)


def assert_same(found, expected, path: str) -> None:
    """Nested values and tensors are equal to the last bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), path
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key in expected:
            assert_same(found[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{path}[{number}]")
    else:
        assert found == expected, path
