"""What a training leaves behind, that it can be repeated, resumed and refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch


def results(run_dir: Path) -> dict:
    return json.loads((run_dir / "results.json").read_text())


def logged(run_dir: Path, column: str) -> dict[int, float]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row.get(column)}


def test_run_directory_holds_all_that_was_promised(finished):
    names = {path.name for path in finished.iterdir()}
    promised = "config.yaml audit.txt audit.json results.json predictions.jsonl metrics.csv tensorboard"
    assert names >= {*promised.split(), "checkpoints", "curve.png", "samples.html", "submission", "adapter"}
    assert {path.name for path in (finished / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}


def test_results_name_everything_a_reader_needs(finished):
    found = results(finished)
    assert found["task"] == "vqa" and found["split"] == "test" and found["samples"] == 8
    assert set(found["baselines"]) == {"majority", "question_only", "human_agreement"}
    assert found["interval"]["low"] <= found["scores"]["accuracy"] <= found["interval"]["high"]
    assert found["by_type"]["question_type"] and found["before"]["scores"]["accuracy"] >= 0
    audit = json.loads((finished / "audit.json").read_text())
    assert (found["trainable"], found["total"]) == (audit["trainable"], audit["total"])
    assert found["steps"] == 4 and found["seconds_a_step"] > 0 and found["seconds_of_training"] > 0
    assert found["peak_memory_mib"]["process"] > 50 and torch.__version__.startswith(
        found["versions"]["torch"]
    )


def test_predictions_are_the_scored_samples(finished):
    lines = [json.loads(line) for line in (finished / "predictions.jsonl").read_text().splitlines()]
    assert len({line["id"] for line in lines}) == 8
    mean = sum(line["score"] for line in lines) / 8
    assert mean == pytest.approx(results(finished)["scores"]["accuracy"])
    (submission,) = (finished / "submission").iterdir()
    assert [str(row["question_id"]) for row in json.loads(submission.read_text())] == [x["id"] for x in lines]


def test_checkpoint_holds_what_trains_and_no_config_objects(finished):
    checkpoint = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    count = sum(tensor.numel() for tensor in checkpoint["state_dict"].values())
    assert count == results(finished)["trainable"]
    assert not any("base.weight" in name for name in checkpoint["state_dict"])


def test_same_seed_gives_the_same_losses_and_another_seed_others(finished, train, tmp_path):
    train(tmp_path / "again", "evaluate_before=false")
    assert logged(tmp_path / "again", "train/loss") == logged(finished, "train/loss")
    train(tmp_path / "other", "seed=2")
    assert logged(tmp_path / "other", "train/loss") != logged(finished, "train/loss")


def test_resumed_run_ends_where_an_unbroken_one_does(train, tmp_path):
    constant = ["optim.schedule=constant", "optim.warmup_fraction=0", "checkpoint.every_n_steps=1"]
    train(tmp_path / "whole", *constant, "trainer.max_steps=6")
    train(tmp_path / "broken", *constant, "trainer.max_steps=3")
    train(tmp_path / "broken", *constant, "trainer.max_steps=6", "ckpt_path=last")
    whole, broken = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "broken")
    )
    assert broken["global_step"] == whole["global_step"] == 6
    losses = logged(tmp_path / "whole", "train/loss")
    assert logged(tmp_path / "broken", "train/loss") == pytest.approx(losses, rel=1e-5)
    for name, tensor in whole["state_dict"].items():
        torch.testing.assert_close(broken["state_dict"][name], tensor, rtol=1e-4, atol=1e-5)


def test_frozen_is_scored_without_training(train, tmp_path, caplog):
    caplog.set_level("INFO")
    train(tmp_path / "run", "adapter=frozen")
    found = results(tmp_path / "run")
    assert found["trainable"] == 0 and found["steps"] == 0
    assert "nothing trains" in caplog.text


@pytest.mark.parametrize("adapter", ["full", "lora", "magnitude"])
def test_other_methods_run_through(train, tmp_path, adapter):
    train(tmp_path / "run", f"adapter={adapter}")
    assert results(tmp_path / "run")["trainable"] > 0


def test_objective_is_the_best_validation(finished, train, tmp_path):
    value = train(tmp_path / "run", "trainer.val_check_interval=1")
    scores = logged(tmp_path / "run", "val/accuracy")
    assert len(scores) == 4
    assert value == pytest.approx(max(scores.values()))


def test_a_step_count_below_the_validation_interval_still_gives_an_objective(train, tmp_path):
    value = train(tmp_path / "run", "trainer.max_steps=2", "trainer.val_check_interval=100")
    assert value is not None and (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_accumulated_batches_count_as_one_step(train, tmp_path):
    train(tmp_path / "run", "trainer.accumulate_grad_batches=2", "trainer.max_steps=3")
    assert results(tmp_path / "run")["steps"] == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.root=nowhere", "data.root"),
        ("objective=val/elegance", "objective=val/elegance is not what validation gives: val/accuracy"),
        ("optim.lr=0", "optim.lr=0 must be greater than 0"),
        ("optim.schedule=polynomial", "must be linear, cosine or constant"),
        ("adapter.language.layers=[qproj]", "matches no nn.Linear or .* in language; available:"),
        ("ckpt_path=last", "last.ckpt does not exist"),
        ("ckpt_path=nothing.ckpt", "nothing.ckpt does not exist"),
        ("model.base=no_such_base", "neither a shipped base"),
        ("trainer.precision=7", "precision"),
        ("threads=0", "threads=0 must be at least 1"),
        ("checkpoint.every_n_steps=0", "checkpoint.every_n_steps=0 must be at least 1"),
        ("movement_check_step=1", "movement_check_step=1 must be at least 2"),
    ],
)
def test_a_wrong_option_stops_with_a_sentence(train, tmp_path, override, words):
    with pytest.raises((ValueError, FileNotFoundError), match=".*" + words.replace("[", r"\[")):
        train(tmp_path / "run", override)


def test_nothing_is_written_before_input_was_checked(train, tmp_path):
    with pytest.raises(ValueError):
        train(tmp_path / "run", f"data.root={tmp_path}")
    assert not (tmp_path / "run").exists()


def test_a_second_run_does_not_overwrite_the_first(finished, train):
    with pytest.raises(ValueError, match="holds a run already"):
        train(finished)


def test_a_run_whose_adapters_stand_still_is_stopped(train, tmp_path):
    with pytest.raises(ValueError, match="did not move"):
        train(tmp_path / "run", "adapter.language.lr=1e-30")
