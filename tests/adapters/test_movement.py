"""The check that what trains moved and what is frozen did not; states for checkpoints."""

from __future__ import annotations

import pytest
import torch

from vl_dora.adapters import (
    MovementCheck,
    apply_adapters,
    load_trainable_state,
    parameter_groups,
    trainable_state,
)

SELECTION = {
    "vision": {"method": "full"},
    "projector": {"method": "frozen", "biases": True},
    "language": {
        "method": "dora",
        "layers": ["q_proj", "v_proj"],
        "rank": 2,
        "also": {"mlp": {"method": "magnitude", "layers": ["fc1", "fc2"]}},
    },
}


def train(network, audit, data, steps=2, lr=1e-2):
    optimizer = torch.optim.AdamW(parameter_groups(network, audit, lr=lr, weight_decay=0.0))
    for _ in range(steps):
        optimizer.zero_grad()
        network(*data).pow(2).mean().backward()
        optimizer.step()


def test_two_honest_steps_pass(network, data):
    audit = apply_adapters(network, SELECTION)
    check = MovementCheck(network)
    train(network.train(), audit, data)
    check.check()


def test_what_did_not_move_is_named_magnitudes_included(network, data):
    audit = apply_adapters(network, SELECTION)
    check = MovementCheck(network)
    still = ("text.layers.0.q_proj.magnitude", "text.layers.1.v_proj.lora_b")
    kept = {name: network.get_parameter(name).detach().clone() for name in still}
    train(network, audit, data)
    with torch.no_grad():
        for name, value in kept.items():
            network.get_parameter(name).copy_(value)
    with pytest.raises(ValueError) as error:
        check.check()
    assert all(name in str(error.value) for name in still)
    assert "frozen" not in str(error.value)


def test_after_one_step_the_first_factor_has_not_moved(network, data):
    audit = apply_adapters(network, SELECTION)
    check = MovementCheck(network)
    train(network, audit, data, steps=1)
    with pytest.raises(ValueError, match="did not move: text.layers.0.q_proj.lora_a"):
        check.check()


def test_it_is_early_while_what_stands_still_has_no_gradient(network, data):
    audit = apply_adapters(network, SELECTION)
    check = MovementCheck(network)
    train(network, audit, data, steps=1)
    assert check.is_early()  # A's gradient is B's, and zero
    train(network, audit, data, steps=1)
    assert not check.is_early()


def test_it_is_not_early_where_a_gradient_moves_nothing(network, data):
    audit = apply_adapters(network, SELECTION)
    check = MovementCheck(network)
    train(network, audit, data, steps=1, lr=0.0)
    assert not check.is_early()


def test_a_rule_that_stood_still_as_a_whole_is_named(network, data):
    audit = apply_adapters(network, {**SELECTION, "vision": {"method": "full", "lr": 0.0}})
    check = MovementCheck(network)
    train(network, audit, data)
    with pytest.raises(ValueError, match=r"everything of vision \(full\)"):
        check.check()


@pytest.mark.parametrize("name", ["text.embed.weight", "text.layers.0.q_proj.base.weight"])
def test_the_smallest_change_of_a_frozen_tensor_is_found(network, data, name):
    audit = apply_adapters(network, SELECTION)
    check = MovementCheck(network)
    train(network, audit, data)
    with torch.no_grad():
        value = network.get_parameter(name)
        value[0, 0] = torch.nextafter(value[0, 0], torch.tensor(9.0))
    with pytest.raises(ValueError, match=f"frozen tensors that changed: {name}"):
        check.check()


def test_running_means_of_a_frozen_part_must_not_run(network, data):
    audit = apply_adapters(network, {**SELECTION, "vision": "frozen"})
    check = MovementCheck(network)
    train(network.train(), audit, data)
    with pytest.raises(ValueError, match="changed: vision.1.running_mean"):
        check.check()


def test_the_trainable_state_restores_a_run(network, fresh, data):
    audit = apply_adapters(network, SELECTION)
    train(network.train(), audit, data)
    state = trainable_state(network)
    assert "vision.1.running_mean" in state and "text.embed.weight" not in state
    other = fresh()
    apply_adapters(other, SELECTION)
    load_trainable_state(other, state)
    assert torch.equal(network.eval()(*data), other(*data))


def test_the_trainable_state_is_audited_both_ways(network):
    apply_adapters(network, SELECTION)
    state = trainable_state(network)
    dropped = state.pop("text.layers.0.q_proj.magnitude")
    with pytest.raises(ValueError, match="missing text.layers.0.q_proj.magnitude; left over nothing"):
        load_trainable_state(network, state)
    state["text.layers.0.q_proj.magnitude"] = dropped[1:]
    with pytest.raises(ValueError, match=r"of shape \(7,\), the network needs \(8,\)"):
        load_trainable_state(network, state)
    state["text.layers.0.q_proj.magnitude"] = dropped
    with pytest.raises(ValueError, match="missing nothing; left over extra"):
        load_trainable_state(network, {**state, "extra": dropped})
