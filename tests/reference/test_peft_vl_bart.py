"""VL-BART's adapter directories in PEFT itself, which wraps it as a plain module, and PEFT's in here."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")

CLOSE = {"atol": 1e-5, "rtol": 1e-4}
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
LAYERS = ["q_proj", "v_proj"]
TABLE = "bart.model.shared.weight"

SELECTIONS = {
    "LoRA": {"language": {"method": "lora", "layers": LAYERS, "rank": 4, "alpha": 8}},
    "DoRA": {"language": {"method": "dora", "layers": LAYERS, "rank": 4, "norm_gradient": "full"}},
    "image recipe": {
        "projector": "full",
        "language": {"method": "dora", "layers": LAYERS, "rank": 4, "biases": True, "layer_norms": True},
    },
    "magnitudes": {"language": {"method": "magnitude", "layers": [*LAYERS, "fc1"]}},
    "two parts": {
        "projector": {"method": "dora", "layers": ["feature_projection"], "rank": 2, "alpha": 6},
        "language": {
            "method": "lora",
            "layers": LAYERS,
            "rank": 4,
            "also": {"mlp": {"method": "dora", "layers": ["fc1"], "rank": 3, "alpha": 5}},
        },
    },
}


def moved(network, seed=3):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("case", SELECTIONS)
def test_peft_gives_our_logits_from_our_directory(case, tiny_vl_bart, visual_batch, tmp_path):
    network = tiny_vl_bart()
    plain = network.logits(visual_batch)
    apply_adapters(network, SELECTIONS[case])
    moved(network)
    save_adapter(network, tmp_path)
    theirs = peft.PeftModel.from_pretrained(tiny_vl_bart(), tmp_path).eval()
    ours = network.logits(visual_batch)
    assert (ours - plain).abs().max() > 0.1
    torch.testing.assert_close(theirs.base_model.model.logits(visual_batch), ours, **CLOSE)


def test_another_draw_of_the_token_rows_needs_ours_which_peft_cannot_read(
    tiny_vl_bart, visual_batch, tmp_path
):
    network = tiny_vl_bart()
    apply_adapters(network, SELECTIONS["DoRA"])
    with torch.no_grad():
        network.get_parameter(TABLE)[30:] += 1.0
    save_adapter(network, tmp_path)
    told = json.loads((tmp_path / "vl_dora.json").read_text())["not_read_by_peft"]
    assert told == [f"rows 30 and up of {TABLE}"]
    fresh = tiny_vl_bart()
    load_adapter(fresh, tmp_path)
    assert torch.equal(fresh.logits(visual_batch), network.logits(visual_batch))


PEFT_OPTIONS = {
    "LoRA": {"r": 4, "lora_alpha": 8, "target_modules": LAYERS},
    "DoRA and the visual embedding": {
        "r": 4,
        "use_dora": True,
        "target_modules": LAYERS,
        "modules_to_save": ["visual_embedding"],
    },
    "patterns and biases": {
        "r": 4,
        "use_dora": True,
        "target_modules": [*LAYERS, "fc1"],
        "rank_pattern": {"fc1": 2},
        "alpha_pattern": {"q_proj": 3},
        "bias": "all",
    },
}


@pytest.mark.parametrize("case", PEFT_OPTIONS)
def test_a_directory_of_peft_loads_here_and_saves_back_with_equal_tensors(
    case, tiny_vl_bart, visual_batch, tmp_path
):
    theirs = peft.get_peft_model(tiny_vl_bart(), peft.LoraConfig(**PEFT_OPTIONS[case]))
    moved(theirs).eval().save_pretrained(tmp_path / "theirs")
    expected = theirs.base_model.model.logits(visual_batch)
    network = tiny_vl_bart()
    load_adapter(network, tmp_path / "theirs")
    torch.testing.assert_close(network.logits(visual_batch), expected, **CLOSE)
    save_adapter(network, tmp_path / "ours")
    before, after = (load_file(tmp_path / who / WEIGHTS) for who in ("theirs", "ours"))
    assert set(before) == set(after) and all(torch.equal(before[key], after[key]) for key in before)
    again = peft.PeftModel.from_pretrained(tiny_vl_bart(), tmp_path / "ours").eval()
    torch.testing.assert_close(again.base_model.model.logits(visual_batch), expected, **CLOSE)


@pytest.mark.parametrize("dora", [False, True])
def test_gradients_are_those_of_peft(dora, tiny_vl_bart, visual_batch):
    options = {"r": 4, "lora_alpha": 8, "use_dora": dora, "target_modules": LAYERS}
    theirs = peft.get_peft_model(tiny_vl_bart(), peft.LoraConfig(**options)).eval()
    network = tiny_vl_bart()
    rule = {"method": "dora" if dora else "lora", "layers": LAYERS, "rank": 4, "alpha": 8}
    apply_adapters(network, {"language": rule})
    moved(network)
    twins = dict(theirs.base_model.model.named_modules())
    pairs = []
    for path, layer in adapted_layers(network).items():
        twin = twins[path]
        pairs += [
            (layer.lora_a, twin.lora_A["default"].weight),
            (layer.lora_b, twin.lora_B["default"].weight),
        ]
        if dora:
            pairs.append((layer.magnitude, twin.lora_magnitude_vector["default"].weight))
    with torch.no_grad():
        for mine, their in pairs:
            their.copy_(mine)
    ours, expected = network.logits(visual_batch), theirs.base_model.model.logits(visual_batch)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, their in pairs:
        assert (mine.grad - their.grad).norm() <= 1e-5 * their.grad.norm()
