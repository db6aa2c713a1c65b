"""Pissa layers through the whole door: training, checkpoints, files; the original weight is never lost."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

from vl_dora.adapters import (
    MovementCheck,
    adapted_layers,
    apply_adapters,
    load_adapter,
    load_trainable_state,
    merge,
    merged,
    parameter_groups,
    save_adapter,
    trainable_state,
)

LORA = {"method": "lora", "layers": ["q_proj", "fc1"], "rank": 3, "alpha": 6, "init": "pissa"}
RULES = {"lora": LORA, "dora": {**LORA, "method": "dora"}, "rslora": {**LORA, "rslora": True}}
CLOSE = {"atol": 1e-5, "rtol": 1e-4}
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(params=RULES)
def selection(request):
    return {"language": RULES[request.param]}


def train(network, audit, data, steps=2):
    optimizer = torch.optim.AdamW(parameter_groups(network, audit, lr=1e-2, weight_decay=0.0))
    for _ in range(steps):
        optimizer.zero_grad()
        network(*data).pow(2).mean().backward()
        optimizer.step()


def whole(layer) -> torch.Tensor:
    """W, from the residual that the base holds and the factors that it was made with."""
    return layer.base.weight + layer.scale * layer._start_b @ layer._start_a


def test_the_start_is_the_base_to_one_rounding_of_its_weights(network, selection, data):
    expected = network(*data)
    apply_adapters(network, selection)
    torch.testing.assert_close(network(*data), expected, **CLOSE)


def test_adapters_move_at_once_and_residuals_do_not(network, selection, data):
    audit = apply_adapters(network, selection)
    check = MovementCheck(network)
    train(network, audit, data)
    check.check()
    with torch.no_grad():
        network.text["layers"][0].q_proj.base.weight[0, 0] += 1.0
    with pytest.raises(ValueError, match="frozen tensors that changed: text.layers.0.q_proj.base.weight"):
        check.check()


def test_the_original_weight_stays_known_after_training(network, fresh, selection, data):
    audit = apply_adapters(network, selection)
    train(network, audit, data)
    plain = dict(fresh().named_modules())
    for path, layer in adapted_layers(network).items():
        torch.testing.assert_close(whole(layer), plain[path].weight, atol=1e-6, rtol=1e-5)


def test_merging_restores_the_residual_bit_for_bit(network, selection, shaken, data):
    apply_adapters(network, selection)
    shaken(network)
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    expected = network(*data)
    with merged(network):
        torch.testing.assert_close(network(*data), expected, **CLOSE)
    assert all(torch.equal(p, weights[name]) for name, p in network.named_parameters())


def test_a_saved_adapter_on_the_original_base_gives_equal_outputs(
    network, fresh, selection, shaken, data, tmp_path
):
    audit = apply_adapters(network, selection)
    shaken(network)
    save_adapter(network, tmp_path / "a")
    other = fresh()
    assert load_adapter(other, tmp_path / "a") == audit
    assert torch.equal(other(*data), network(*data))
    rank = load_file(tmp_path / "a" / WEIGHTS)["base_model.model.text.layers.0.q_proj.lora_A.weight"].shape[0]
    assert rank == 2 * 3


def test_a_load_into_other_residuals_replaces_them(network, fresh, selection, shaken, data, tmp_path):
    apply_adapters(network, selection)
    shaken(network)
    save_adapter(network, tmp_path / "a")
    other = fresh()
    apply_adapters(other, selection)
    with torch.no_grad():
        for layer in adapted_layers(other).values():  # as another machine's decomposition might turn out
            layer._start_b.mul_(1.01)
            layer.base.weight.sub_(0.01 / 1.01 * layer.scale * layer._start_b @ layer._start_a)
    load_adapter(other, tmp_path / "a")
    torch.testing.assert_close(other(*data), network(*data), **CLOSE)


def test_a_load_that_fails_leaves_every_bit_of_the_base(network, fresh, selection, tmp_path):
    apply_adapters(network, selection)
    save_adapter(network, tmp_path / "a")
    tensors = load_file(tmp_path / "a" / WEIGHTS)
    tensors.popitem()
    save_file(tensors, tmp_path / "a" / WEIGHTS, metadata={"format": "pt"})
    other = fresh()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match="missing"):
        load_adapter(other, tmp_path / "a")
    assert set(other.state_dict()) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_a_selection_that_is_refused_late_leaves_every_bit_of_the_base(network, selection, monkeypatch):
    before = copy.deepcopy(network.state_dict())
    from vl_dora.adapters import layers

    real = layers.make_layers

    def fail_at_the_second_rule(method, *rest):
        if method == "magnitude":
            raise ValueError("no room")
        return real(method, *rest)

    monkeypatch.setattr("vl_dora.adapters.apply.make_layers", fail_at_the_second_rule)
    rule = {**selection["language"], "also": {"x": {"method": "magnitude", "layers": ["fc2"]}}}
    with pytest.raises(ValueError, match="adapter.language.also.x: no room"):
        apply_adapters(network, {"language": rule})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_checkpoint_carries_the_start_along(network, fresh, selection, shaken, data):
    apply_adapters(network, selection)
    shaken(network)
    other = fresh()
    apply_adapters(other, selection)
    load_trainable_state(other, trainable_state(network))
    assert torch.equal(other(*data), network(*data))


def test_a_checkpoint_of_another_decomposition_brings_its_residual(network, fresh, selection, shaken, data):
    apply_adapters(network, selection)
    shaken(network)
    expected, state = network(*data), trainable_state(network)
    other = fresh()
    apply_adapters(other, selection)
    with torch.no_grad():  # the same product of other factors, as after a decomposition elsewhere
        turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
        for layer in adapted_layers(other).values():
            layer._start_a.copy_(turn.T @ layer._start_a)
            layer._start_b.copy_(layer._start_b @ turn)
    load_trainable_state(other, state)
    torch.testing.assert_close(other(*data), expected, **CLOSE)
    again = trainable_state(other)
    assert all(torch.equal(again[name], value) for name, value in state.items())


def test_a_merged_network_takes_no_other_start(network, fresh, selection):
    apply_adapters(network, selection)
    state = {name: value + 1 for name, value in trainable_state(network).items()}
    merge(network)
    with pytest.raises(ValueError, match="a merged layer holds no residual"):
        load_trainable_state(network, state)


def test_no_start_is_made_where_values_follow(network, selection):
    before = copy.deepcopy(network.state_dict())
    apply_adapters(network, selection, start=False)
    for path, layer in adapted_layers(network).items():
        assert not layer.lora_a.any() and not layer.lora_b.any()
        assert torch.equal(layer.base.weight, before[f"{path}.weight"])
