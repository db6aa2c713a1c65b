"""A run done again from its directory: the same, or changed where options say so."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import hydra
import pytest
import torch
from omegaconf import OmegaConf

from vl_dora.repeating import repeated_config, repeats


def again(run_dir, *overrides: str):
    """The config that `config=<run_dir>` and the overrides make."""
    words = [f"config={run_dir}", *overrides]
    name = repeated_config(words)
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose(name, words)


def losses(run_dir) -> list[str]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [row["train/loss"] for row in csv.DictReader(file) if row.get("train/loss")]


def test_a_run_again_has_the_same_order_losses_and_weights(finished, tmp_path):
    from safetensors.torch import load_file

    from vl_dora.train import train

    before = losses(finished)
    train(again(finished, f"paths.run_dir={tmp_path / 'again'}"))
    first, second = (json.loads((d / "results.json").read_text()) for d in (finished, tmp_path / "again"))
    assert second["data_order"] == first["data_order"] and second["scores"] == first["scores"]
    assert losses(tmp_path / "again") == losses(finished) == before != []
    name = "adapter/adapter_model.safetensors"
    weights, others = load_file(finished / name), load_file(tmp_path / "again" / name)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[key], others[key]) for key in weights)
    told = json.loads((tmp_path / "again" / "provenance.json").read_text())
    assert told["repeats"] == {"run": str(finished), "changes": []}


def test_a_run_directory_tells_what_it_was_made_by(finished):
    told = json.loads((finished / "provenance.json").read_text())
    assert told["seed"] == 1
    assert {"command", "started", "versions", "git", "hardware", "experiment", "repeats"} <= set(told)
    assert told["repeats"] is None
    assert len(json.loads((finished / "results.json").read_text())["data_order"]) == 64


def test_options_after_it_are_applied_and_told(finished):
    config = again(finished, "seed=7", "optim.lr=0.5")
    assert (config.seed, config.optim.lr, config.trainer.max_steps) == (7, 0.5, 4)
    told = repeats(config)
    assert told["run"] == str(finished)
    assert sorted(told["changes"]) == [
        "data.seed: 1 -> 7",
        "optim.lr: 0.003 -> 0.5",
        "seed: 1 -> 7",
    ] or sorted(told["changes"]) == ["optim.lr: 0.003 -> 0.5", "seed: 1 -> 7"]


def test_it_has_a_directory_of_its_own(finished):
    config = again(finished)
    assert config.ckpt_path is None
    assert OmegaConf.to_container(config)["paths"]["run_dir"].startswith("runs/")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "config=.* is not a folder; give a run directory"),
        (lambda folder: folder.mkdir(), "config=.* is not a run directory: it holds no config.yaml"),
        (
            lambda folder: (folder.mkdir(), (folder / "config.yaml").write_text("a: 1\n")),
            "is not the config of a run: it has no task, model",
        ),
    ],
    ids=["missing", "empty", "foreign"],
)
def test_what_is_no_run_directory_is_refused(tmp_path, make, words):
    make(tmp_path / "given")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        repeated_config([f"config={tmp_path / 'given'}"])


@pytest.mark.parametrize("word", ["adapter=lora", "experiment=vqa", "debug=fast", "model=vl_bart_image"])
def test_a_choice_beside_it_is_refused(finished, word):
    with pytest.raises(ValueError, match=f"{word} is a choice, and config=<run directory> has made its own"):
        repeated_config([f"config={finished}", word])


def test_without_config_nothing_changes():
    assert repeated_config(["experiment=vqa", "-m", "seed=1,2"]) is None


def test_the_command_line_ends_in_one_line_where_there_is_no_such_run(tmp_path):
    command = [sys.executable, "-m", "vl_dora.train", "config=nowhere"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: config=") and "nowhere is not a folder" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_line_repeats_a_sweep_of_seeds(finished, tmp_path):
    words = [f"config={finished}", "seed=1,2", "evaluate_before=false", "paths.run_dir=sweep"]
    command = [sys.executable, "-m", "vl_dora.train", "-m", *words]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = sorted((tmp_path / "sweep").glob("*/results.json"))
    assert [json.loads(path.read_text())["seed"] for path in found] == [1, 2]
