"""Merging a whole network and taking it back."""

from __future__ import annotations

import pytest
import torch

from vl_dora.adapters import apply_adapters, merge, merged, unmerge

SELECTION = {
    "projector": {"method": "lora", "rank": 2},
    "language": {
        "method": "dora",
        "layers": ["q_proj", "v_proj"],
        "rank": 2,
        "also": {"mlp": {"method": "magnitude", "layers": ["fc1", "fc2"]}},
    },
}


def test_merging_keeps_the_map_and_unmerging_restores_every_bit(network, shaken, data):
    apply_adapters(network, SELECTION)
    shaken(network)
    expected = network(*data)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    merge(network)
    torch.testing.assert_close(network(*data), expected, atol=1e-5, rtol=1e-4)
    unmerge(network)
    after = network.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(network(*data), expected)


def test_merged_holds_inside_the_block_only(network, shaken, data):
    apply_adapters(network, SELECTION)
    shaken(network)
    layer = network.text["layers"][0].q_proj
    with pytest.raises(KeyError), merged(network):
        assert layer.merged
        raise KeyError
    assert not layer.merged


def test_merging_twice_and_unmerging_nothing_are_errors(network):
    with pytest.raises(ValueError, match="no adapted layers"):
        merge(network)
    apply_adapters(network, SELECTION)
    with pytest.raises(ValueError, match="not merged"):
        unmerge(network)
    merge(network)
    with pytest.raises(ValueError, match="already merged"):
        merge(network)


def test_a_merged_network_refuses_to_train(network, data):
    apply_adapters(network, SELECTION)
    merge(network)
    network.train()
    with pytest.raises(RuntimeError, match="unmerge"):
        network(*data)
