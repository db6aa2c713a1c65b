"""LoRA+: B learns at a rate of its own, everything else of the rule at the rule's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vl_dora.adapters import apply_adapters, parameter_groups

DORA = {"method": "dora", "layers": ["q_proj", "fc1"], "rank": 2, "lr_ratio": 16}


def rates(network: nn.Module, audit, **options) -> dict[str, tuple[float, float]]:
    names = {id(p): name for name, p in network.named_parameters()}
    groups = parameter_groups(network, audit, **{"lr": 1e-3, "weight_decay": 0.01, **options})
    torch.optim.AdamW(groups)  # which refuses a parameter in two groups
    return {names[id(p)]: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}


def test_only_the_second_factor_learns_faster(network):
    audit = apply_adapters(network, {"language": {**DORA, "biases": True, "layer_norms": True}})
    found = rates(network, audit)
    assert set(found) == {name for name, p in network.named_parameters() if p.requires_grad}
    faster = {name for name, (rate, _) in found.items() if rate == pytest.approx(0.016)}
    assert faster == {f"text.layers.{i}.{leaf}.lora_b" for i in (0, 1) for leaf in ("q_proj", "fc1")}
    assert all(rate == 1e-3 for name, (rate, _) in found.items() if name not in faster)
    assert found["text.layers.0.fc1.lora_b"][1] == 0.01
    assert found["text.layers.0.fc1.magnitude"] == (1e-3, 0.0)


def test_the_ratio_multiplies_the_rule_s_own_rate_and_stays_with_its_rule(network):
    also = {"mlp": {"method": "lora", "layers": ["fc2"], "rank": 2}}
    audit = apply_adapters(network, {"language": {**DORA, "lr": 0.5, "lr_ratio": 4, "also": also}})
    found = rates(network, audit)
    assert found["text.layers.0.q_proj.lora_b"] == (2.0, 0.01)
    assert found["text.layers.0.q_proj.lora_a"] == (0.5, 0.01)
    assert found["text.layers.0.fc2.lora_b"] == found["text.layers.0.fc2.lora_a"] == (1e-3, 0.01)


def test_groups_are_named_by_rule_method_rate_and_decay(network):
    audit = apply_adapters(network, {"language": DORA})
    names = [g["name"] for g in parameter_groups(network, audit, lr=1e-3, weight_decay=0.0)]
    assert names == [
        "language/dora/decay",
        "language/dora/no_decay",
        "language/dora/decay/lr_x16",
    ]


def test_the_audit_tells_both_rates(network):
    audit = apply_adapters(network, {"language": DORA}, default_lr=1e-3)
    row = audit.to_dict()["rows"][2]
    assert (row["learning_rate"], row["lr_ratio"]) == (1e-3, 16)
    assert "0.001 (B 0.016)" in str(audit)


def test_a_step_of_plain_descent_moves_the_second_factor_by_the_ratio(network, fresh, data):
    steps = []
    for ratio in (1, 8):
        net = fresh()
        torch.manual_seed(0)
        audit = apply_adapters(net, {"language": {**DORA, "lr_ratio": ratio}})
        optimizer = torch.optim.SGD(parameter_groups(net, audit, lr=1e-3, weight_decay=0.0))
        net(*data).pow(2).mean().backward()
        optimizer.step()
        steps.append(net.text["layers"][0].q_proj)
    slow, fast = steps
    torch.testing.assert_close(fast.lora_b, 8 * slow.lora_b)
    assert torch.equal(fast.magnitude, slow.magnitude)
