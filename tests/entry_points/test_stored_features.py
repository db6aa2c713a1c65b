"""Stored features and features made on the fly give the same losses, predictions and scores."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from data_modules.clips import ClipSettings
from data_modules.feature_writer import FeatureWriter
from vl_dora.models.vision import TinyTower

TOOL = Path(__file__).resolve().parents[2] / "tools" / "extract_features.py"


@pytest.fixture(scope="module")
def tool():
    specification = importlib.util.spec_from_file_location("extract_features", TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["float32", "float16"])
def stored(request, tool, small, finished, tmp_path_factory) -> Path:
    """Features of every picture of the small world, by the base's own tower."""
    world = Path(json.loads((finished / "results.json").read_text())["data_folder"])
    weights = load_file(small.folder / "base" / "model.safetensors")
    tower = TinyTower(32).eval()
    own = {name.removeprefix("vision."): t for name, t in weights.items() if name.startswith("vision.")}
    tower.load_state_dict(own, strict=False)
    folder = tmp_path_factory.mktemp("stored") / "features"
    writer = FeatureWriter(folder, tower="tiny", dtype=request.param)
    refs = tool.refs_below(world, ClipSettings())
    assert len(refs) == 48
    for part in tool.batches(tool.Files(world, refs, 96, "auto"), 16):
        tool.write_batch(writer, tower, part, 16, "cpu")
    return writer.finish()


def predictions(folder: Path) -> list[tuple[str, str]]:
    lines = map(json.loads, (folder / "predictions.jsonl").read_text().splitlines())
    return [(line["id"], line["text"]) for line in lines]


def losses(run_dir: Path) -> list[float]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row.get("train/loss")]


@pytest.mark.slow
def test_scores_and_predictions_are_the_same(finished, evaluate, stored, tmp_path):
    fresh = evaluate(finished, f"output_dir={tmp_path / 'fresh'}")
    kept = evaluate(finished, f"data.features={stored}", f"output_dir={tmp_path / 'kept'}")
    assert kept == fresh
    assert predictions(tmp_path / "kept") == predictions(tmp_path / "fresh")


@pytest.mark.slow
def test_losses_and_the_model_are_the_same(train, stored, tmp_path):
    options = ["evaluate_before=false", "trainer.log_every_n_steps=1"]
    train(tmp_path / "fresh", *options, "encode_once=false")
    train(tmp_path / "kept", *options, f"data.features={stored}")
    tolerance = 1e-5 if "float32" in (stored / "index.json").read_text() else 2e-3
    assert len(losses(tmp_path / "fresh")) == 4
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "fresh"), rel=tolerance)
    found = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("fresh", "kept")]
    assert found[0]["scores"] == found[1]["scores"]
    assert predictions(tmp_path / "kept") == predictions(tmp_path / "fresh")
    for results in found:
        assert results["samples_a_second"] > 0 and 0 < results["waiting_for_data_percent"] < 100
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("fresh", "kept")
    ]
    for name, tensor in states[0].items():
        np.testing.assert_allclose(states[1][name], tensor, rtol=0.05, atol=2e-3)
