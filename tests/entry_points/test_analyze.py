"""Runs that keep weights, and what is told of them."""

from __future__ import annotations

import json

import hydra
import pytest
import torch
from safetensors.torch import load_file, save_file

from vl_dora.analyze import analyze
from vl_dora.run_directory import ANALYSIS


@pytest.fixture(scope="module")
def runs(train, tmp_path_factory):
    """A folder with a LoRA, a DoRA and a full run, each with the weights of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("sweep")
    for method in ("lora", "dora", "full"):
        train(folder / method, f"adapter={method}", "analysis.steps=[2,4]", "evaluate_before=false")
    return folder


def analyzed(*overrides: str):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return analyze(hydra.compose("analyze", list(overrides)))


def test_steps_asked_for_are_kept(runs) -> None:
    assert sorted(p.name for p in (runs / "lora" / ANALYSIS).iterdir()) == [
        "step-000002.safetensors",
        "step-000004.safetensors",
    ]


def test_all_runs_are_told_of_layer_by_layer(runs, tmp_path) -> None:
    out = analyzed(f"runs={runs}", f"out={tmp_path / 'out'}")
    lines = json.loads((out / "analysis.json").read_text())
    assert {line["method"] for line in lines} == {"lora", "dora", "full"}
    table = (out / "analysis.csv").read_text().splitlines()
    layers = {row.split(",")[3] for row in table[1:]}
    assert len(table) - 1 == 3 * 2 * len(layers)


def test_weights_made_to_be_longer_are_told_as_longer(runs, tmp_path, small) -> None:
    """The kept factors are replaced: B stays zero and each magnitude grows by a tenth."""
    from vl_dora.analyze import _measured

    kept = runs / "dora" / ANALYSIS / "step-000004.safetensors"
    before = kept.read_bytes()
    tensors = load_file(kept)
    base = load_file(small.folder / "base" / "model.safetensors")
    for name in tensors:
        if name.endswith(".lora_b"):
            tensors[name] = torch.zeros_like(tensors[name])
        if name.endswith(".magnitude"):
            weight = base[name.removesuffix(".magnitude") + ".weight"]
            tensors[name] = 1.1 * weight.norm(dim=1)
    try:
        save_file(tensors, kept)
        for path, steps in _measured(runs / "dora").items():
            norms = base[f"{path}.weight"].norm(dim=1)
            assert steps[4].magnitude == pytest.approx(0.1 * float(norms.mean()), rel=1e-4)
            assert steps[4].direction == pytest.approx(0, abs=1e-10)
    finally:
        kept.write_bytes(before)


def test_endings_choose_layers(runs, tmp_path) -> None:
    out = analyzed(f"runs={runs}", "layers=[q_proj,v_proj]", f"out={tmp_path / 'out'}")
    table = (out / "analysis.csv").read_text().splitlines()[1:]
    assert {row.split(",")[3].rpartition(".")[2] for row in table} == {"q_proj", "v_proj"}


def test_what_cannot_be_analysed_is_refused_with_the_reason(runs, train, tmp_path) -> None:
    with pytest.raises(ValueError, match="layers=q_prj is trained by not all"):
        analyzed(f"runs={runs}", "layers=[q_prj]", f"out={tmp_path / 'out'}")
    with pytest.raises(FileNotFoundError, match="no run directory"):
        analyzed(f"runs={tmp_path}")
    with pytest.raises(FileNotFoundError, match="not a folder"):
        analyzed(f"runs={tmp_path / 'none'}")
    train(tmp_path / "plain", "adapter=lora", "evaluate_before=false")
    with pytest.raises(ValueError, match=r"kept no weights; train it with analysis.steps"):
        analyzed(f"runs={tmp_path / 'plain'}")


@pytest.mark.parametrize(
    ("steps", "message"),
    [("[0]", "at least 1"), ("[2,2]", "different"), ("[1,999]", "holds 999, but the run has 4 steps")],
)
def test_steps_that_cannot_be_kept_are_refused(train, tmp_path, steps, message) -> None:
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", f"analysis.steps={steps}", "evaluate_before=false")
