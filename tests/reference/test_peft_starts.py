"""Adapters that started from a part of the weight, on the original base in plain PEFT."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vl_dora.adapters import apply_adapters, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 8)).eval()


RULE = {"rank": 3, "alpha": 6, "init": "pissa"}
SELECTIONS = {
    "lora": {"method": "lora", **RULE},
    "dora": {"method": "dora", **RULE},
    "rank-stabilised dora": {"method": "dora", **RULE, "rslora": True},
    "beside a kaiming start": {
        "method": "dora",
        **RULE,
        "layers": ["0"],
        "also": {"x": {"method": "dora", "layers": ["2"], "rank": 4, "alpha": 2}},
    },
    "beside magnitudes": {
        "method": "lora",
        **RULE,
        "layers": ["0"],
        "also": {"x": {"method": "magnitude", "layers": ["2"]}},
    },
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_peft_puts_a_pissa_adapter_on_the_original_base(case, tmp_path):
    ours = network()
    apply_adapters(ours, {"network": SELECTIONS[case]})
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    save_adapter(ours, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(network(), tmp_path / "adapter").eval()
    x = torch.randn(5, 12)
    assert (ours(x) - network()(x)).abs().max() > 0.1
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_peft_s_own_pissa_starts_with_the_same_product(method):
    ours = network()
    apply_adapters(ours, {"network": {"method": method, **RULE}})
    config = peft.LoraConfig(
        r=3, lora_alpha=6, use_dora=method == "dora", init_lora_weights="pissa", target_modules=["0", "2"]
    )
    theirs = peft.get_peft_model(network(), config).eval()
    for index in (0, 2):
        mine, their = ours[index], theirs.base_model.model[index]
        torch.testing.assert_close(mine.base.weight, their.base_layer.weight, atol=1e-5, rtol=1e-4)
        product = their.lora_B["default"].weight @ their.lora_A["default"].weight
        torch.testing.assert_close(mine.lora_b @ mine.lora_a, product, atol=1e-5, rtol=1e-4)
