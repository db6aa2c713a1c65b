"""Embeddings and convolutions in PEFT's directories; methods that PEFT lacks stop it at the config."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vl_dora.adapters import apply_adapters, load_adapter, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.conv = nn.Conv1d(8, 6, 3, padding=1)
        self.out = nn.Linear(6, 5)

    def forward(self, ids):
        return self.out(torch.tanh(self.conv(self.words(ids).transpose(1, 2))).transpose(1, 2))


def network() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def moved(module):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


IDS = torch.arange(10).reshape(2, 5)
LOW = {"rank": 2, "alpha": 3}
SELECTIONS = {
    "LoRA": {"method": "lora", "layers": ["words", "conv", "out"], **LOW},
    "DoRA": {"method": "dora", "layers": ["words", "conv", "out"], **LOW},
    "mixed": {
        "method": "dora",
        "layers": ["out"],
        **LOW,
        "also": {
            "a": {"method": "lora", "layers": ["words"], "rank": 3, "alpha": 3},
            "b": {"method": "magnitude", "layers": ["conv"]},
        },
    },
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_peft_reads_our_directory_and_gives_our_outputs(case, tmp_path):
    ours = network()
    apply_adapters(ours, {"network": SELECTIONS[case]})
    moved(ours)
    save_adapter(ours, tmp_path)
    theirs = peft.PeftModel.from_pretrained(network(), tmp_path).eval()
    torch.testing.assert_close(theirs(IDS), ours(IDS), **CLOSE)
    fresh = network()
    load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(IDS), ours(IDS))


@pytest.mark.parametrize("dora", [False, True])
def test_a_directory_of_peft_loads_here_and_saves_back_with_equal_tensors(dora, tmp_path):
    options = {"r": 2, "lora_alpha": 3, "use_dora": dora, "target_modules": ["words", "conv", "out"]}
    theirs = moved(peft.get_peft_model(network(), peft.LoraConfig(**options))).eval()
    theirs.save_pretrained(tmp_path / "theirs", save_embedding_layers=False)
    ours = network()
    load_adapter(ours, tmp_path / "theirs")
    torch.testing.assert_close(ours(IDS), theirs(IDS), **CLOSE)
    save_adapter(ours, tmp_path / "ours")
    before, after = (load_file(tmp_path / who / "adapter_model.safetensors") for who in ("theirs", "ours"))
    assert set(before) == set(after) and all(torch.equal(before[key], after[key]) for key in before)


def test_a_method_that_peft_lacks_stops_peft_at_the_config(tmp_path):
    ours = network()
    apply_adapters(ours, {"network": {"method": "dvora", "layers": ["out"], "rank": 4}})
    moved(ours)
    save_adapter(ours, tmp_path)
    told = json.loads((tmp_path / "vl_dora.json").read_text())["not_read_by_peft"]
    assert told == ["everything: PEFT's LoRA has no method dvora"]
    with pytest.raises((KeyError, ValueError), match="VL_DORA"):
        peft.PeftModel.from_pretrained(network(), tmp_path)
    fresh = network()
    load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(IDS), ours(IDS))
    (tmp_path / "vl_dora.json").unlink()
    with pytest.raises(ValueError, match="peft_type='VL_DORA' cannot be read here"):
        load_adapter(network(), tmp_path)
