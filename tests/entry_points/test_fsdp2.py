"""trainer=fsdp2: two processes on a CPU share the weights of a LLaVA and do what one process does."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
# A small LLaVA of random weights; batches of 8 over all processes; gradients are clipped in every step.
SAME = ["experiment=llava_instruct", "model=tiny_llava", "debug=fast", "model.base=null"]
SAME += ["model.tokenizer=tiny_scenes", "model.network.text.vocab_size=396", "generation.max_new_tokens=3"]
SAME += [f"data.embedded.{role}={count}" for role, count in (("train", 24), ("val", 3), ("test", 3))]
SAME += [
    "trainer.accelerator=cpu",
    "trainer.gradient_clip_val=0.1",
    "data.limit.train=22",
    "data.limit.test=7",
]
TWO = ["trainer=fsdp2", "trainer.devices=2", "data.batch_size=4"]


def call(module: str, *overrides: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", f"vl_dora.{module}", *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def called(module: str, *overrides: str) -> None:
    done = call(module, *overrides)
    assert done.returncode == 0, done.stderr[-3000:]


def alone(*overrides: str) -> None:
    """A training in this process."""
    from vl_dora.train import train

    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        config = hydra.compose("train", list(overrides))
    train(config)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> SimpleNamespace:
    """Runs of four steps by one process and by two, and what each comes to after six."""
    folder = tmp_path_factory.mktemp("fsdp2")
    given = [*SAME, f"paths.cache_dir={folder / 'cache'}"]
    more = ["trainer.max_steps=6", "ckpt_path=last"]
    alone(*given, f"paths.run_dir={folder / 'one'}")
    called("train", *given, *TWO, f"paths.run_dir={folder / 'two'}")
    for name in ("one", "two"):
        shutil.copytree(folder / name, folder / f"{name}-by-one")
    shutil.copytree(folder / "two", folder / "two-by-two")
    for name in ("one", "two"):
        alone(*given, *more, f"paths.run_dir={folder / f'{name}-by-one'}")
    called("train", *given, *TWO, *more, f"paths.run_dir={folder / 'two-by-two'}")
    return SimpleNamespace(folder=folder, given=given)


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def logged(folder: Path, column: str) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_losses_checkpoints_and_adapters_are_those_of_one_process_to_float32(runs):
    one, two = runs.folder / "one", runs.folder / "two"
    assert len(logged(two, "train/loss")) == 4
    assert logged(two, "train/loss") == pytest.approx(logged(one, "train/loss"), rel=1e-5)
    first, second = checkpoint(one), checkpoint(two)
    assert list(second["state_dict"]) == list(first["state_dict"])
    assert second.keys() == first.keys() and second["loops"] == first["loops"]
    assert second["lr_schedulers"] == first["lr_schedulers"]
    (expected,), (found,) = first["optimizer_states"], second["optimizer_states"]
    assert found["param_groups"] == expected["param_groups"]
    # AdamW makes steps of 3e-3 of gradients near zero, too, whose last bits differ.
    torch.testing.assert_close(second["state_dict"], first["state_dict"], rtol=1e-4, atol=3e-5)
    torch.testing.assert_close(found["state"], expected["state"], rtol=1e-4, atol=3e-5)
    name = "adapter/adapter_model.safetensors"
    torch.testing.assert_close(load_file(two / name), load_file(one / name), rtol=1e-4, atol=3e-5)
    for file in ("adapter_config.json", "vl_dora.json"):
        assert (two / "adapter" / file).read_text() == (one / "adapter" / file).read_text()


def test_scores_are_those_of_one_process_and_stay_when_one_scores_the_run(runs):
    two = runs.folder / "two"
    assert results(two)["before"] == results(runs.folder / "one")["before"]
    called("evaluate", f"run={two}", "trainer.devices=1", f"output_dir={runs.folder / 'again'}")
    for name in ("scores", "interval", "by_type", "samples"):
        assert results(runs.folder / "again")[name] == results(two)[name], name
    lines = [(f / "predictions.jsonl").read_text() for f in (two, runs.folder / "again")]
    assert lines[0] == lines[1]


def test_any_number_of_processes_goes_on(runs):
    expected = runs.folder / "one-by-one"
    for name in ("two-by-one", "two-by-two"):
        assert logged(runs.folder / name, "train/loss") == pytest.approx(
            logged(expected, "train/loss"), rel=1e-4
        )
        found, wanted = checkpoint(runs.folder / name), checkpoint(expected)
        assert found["global_step"] == wanted["global_step"] == 6
        torch.testing.assert_close(found["state_dict"], wanted["state_dict"], rtol=1e-3, atol=1e-4)


def refused(*overrides: str) -> str:
    done = call("train", "trainer=fsdp2", "trainer.devices=2", "trainer.accelerator=cpu", *overrides)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_a_network_that_cannot_be_spread_ends_in_one_line(small, tmp_path):
    line = refused(*small.overrides, f"paths.run_dir={tmp_path / 'run'}")
    assert "cannot spread a VLBart, which names no blocks; use trainer=default trainer.strategy=ddp" in line


def test_a_precision_that_turns_weights_over_ends_in_one_line(runs, tmp_path):
    line = refused(*runs.given, "trainer.precision=bf16-true", f"paths.run_dir={tmp_path / 'run'}")
    assert "trainer.precision=bf16-true does not go with trainer=fsdp2; use 32-true or bf16-mixed" in line
