"""rsLoRA in PEFT's config: its flag holds for a whole directory, a mixture is told by alphas."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 6))


def moved(module):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


def rule(layers, rslora, **options):
    return {"method": "dora", "layers": layers, "rank": 4, "alpha": 6, "rslora": rslora, **options}


MIXTURES = {
    "all rsLoRA": (rule(["0", "2"], True), True),
    "rsLoRA of two ranks": (rule(["0"], True, also={"b": rule(["2"], True, rank=3, alpha=5)}), True),
    "rsLoRA beside plain": (rule(["0"], True, also={"b": rule(["2"], False)}), False),
    "rsLoRA beside magnitudes": (
        rule(["0"], True, also={"b": {"method": "magnitude", "layers": ["2"]}}),
        True,
    ),
    "rsLoRA beside LoRA of another rank": (
        rule(["0"], True, also={"b": {"method": "lora", "layers": ["2", "4"], "rank": 2, "alpha": 7}}),
        False,
    ),
}


@pytest.mark.parametrize("case", MIXTURES)
def test_peft_scales_every_layer_as_we_do(case, tmp_path):
    selection, flag = MIXTURES[case]
    ours, x = network(), torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
    apply_adapters(ours, {"network": selection})
    moved(ours)
    save_adapter(ours, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["use_rslora"] is flag
    theirs = peft.PeftModel.from_pretrained(network(), tmp_path).eval()
    torch.testing.assert_close(theirs(x), ours(x), **CLOSE)
    for path, layer in adapted_layers(ours).items():
        if hasattr(layer, "lora_a"):
            assert theirs.base_model.model.get_submodule(path).scaling["default"] == pytest.approx(
                layer.scale
            )
    fresh = network()
    load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(x), ours(x))


def test_rslora_of_peft_loads_and_saves_back_with_the_same_tensors_and_scales(tmp_path):
    options = {"r": 4, "lora_alpha": 6, "use_rslora": True, "use_dora": True, "target_modules": ["0", "2"]}
    config = peft.LoraConfig(**options, rank_pattern={"2": 2}, alpha_pattern={"2": 3})
    theirs, x = moved(peft.get_peft_model(network(), config)).eval(), torch.randn(5, 8)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = network()
    load_adapter(ours, tmp_path / "theirs")
    torch.testing.assert_close(ours(x), theirs(x), **CLOSE)
    scales = {path: layer.scale for path, layer in adapted_layers(ours).items()}
    assert scales == {"0": pytest.approx(6 / 2), "2": pytest.approx(3 / math.sqrt(2))}
    save_adapter(ours, tmp_path / "ours")
    before, after = (load_file(tmp_path / who / "adapter_model.safetensors") for who in ("theirs", "ours"))
    assert set(before) == set(after) and all(torch.equal(before[key], after[key]) for key in before)
    again = peft.PeftModel.from_pretrained(network(), tmp_path / "ours").eval()
    torch.testing.assert_close(again(x), theirs(x), **CLOSE)


def test_another_scale_than_the_networks_own_is_refused(tmp_path):
    ours = network()
    apply_adapters(ours, {"network": rule(["0"], True)})
    save_adapter(ours, tmp_path)
    other = network()
    apply_adapters(other, {"network": rule(["0"], False)})
    with pytest.raises(ValueError, match=r"0 has rank 4 and scale 3 there, rank 4 and scale 1.5 in this"):
        load_adapter(other, tmp_path)
