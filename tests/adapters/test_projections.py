"""VeRA's shared random matrices: one pair a rule, following from a seed, and counted nowhere."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vl_dora.adapters import (
    MovementCheck,
    adapted_layers,
    apply_adapters,
    load_adapter,
    load_trainable_state,
    merged,
    parameter_groups,
    save_adapter,
    trainable_state,
)
from vl_dora.adapters.projections import SharedProjections

LAYERS = ["q_proj", "v_proj", "fc1", "fc2"]
VERA = {"method": "vera", "layers": LAYERS, "rank": 5}
DVORA = {"method": "dvora", "layers": LAYERS, "rank": 5, "norm_gradient": "full"}
BOTH = {"vera": VERA, "dvora": DVORA}


@pytest.fixture(params=BOTH)
def rule(request):
    return BOTH[request.param]


def pairs(network) -> list[SharedProjections]:
    return [module for module in network.modules() if isinstance(module, SharedProjections)]


def test_all_layers_of_a_rule_read_one_pair_sized_to_the_largest(network, rule):
    apply_adapters(network, {"language": rule})
    (pair,) = pairs(network)
    assert (tuple(pair.a.shape), tuple(pair.b.shape)) == ((5, 16), (16, 5))
    for layer in adapted_layers(network).values():
        share = layer.scaled()
        assert share.a.data_ptr() == pair.a.data_ptr()
        assert share.b.data_ptr() == pair.b.data_ptr()
        assert (share.a.shape[1], share.b.shape[0]) == (layer.in_features, layer.out_features)


def test_every_rule_has_a_pair_of_its_own(network):
    also = {"mlp": {**VERA, "layers": ["fc1"], "rank": 3, "projection_seed": 1}}
    apply_adapters(network, {"language": {**DVORA, "layers": ["q_proj"], "also": also}})
    assert sorted((pair.rank, pair.seed) for pair in pairs(network)) == [(3, 1), (5, 0)]


def test_the_matrices_are_in_no_count_and_no_state(network, rule):
    before = sum(p.numel() for p in network.parameters())
    names = {name for name, _ in network.named_parameters()}
    audit = apply_adapters(network, {"language": rule})
    rows = 2 * (8 + 8 + 16 + 8)
    expected = 2 * 4 * 5 + rows * (2 if rule is DVORA else 1)
    assert audit.trainable == expected
    assert audit.total == before + expected
    assert {n.replace(".base.", ".") for n in network.state_dict() if "lambda" not in n} >= names
    assert not [n for n in network.state_dict() if "projections" in n]
    assert not [n for n in trainable_state(network) if "projections" in n]


def test_the_seed_alone_decides_the_matrices():
    torch.manual_seed(5)
    first = SharedProjections(rank=7, in_features=6, out_features=4, seed=3)
    torch.manual_seed(6)
    again = SharedProjections(rank=7, in_features=6, out_features=4, seed=3)
    other = SharedProjections(rank=7, in_features=6, out_features=4, seed=4)
    assert torch.equal(first.a, again.a) and torch.equal(first.b, again.b)
    assert not torch.equal(first.a, other.a)
    assert float(first.a.abs().max()) <= 1.0  # sqrt(6 / 6)
    assert 0.8 < float(first.a.abs().max())


def test_drawing_the_matrices_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SharedProjections(rank=7, in_features=6, out_features=4)
    assert torch.equal(torch.rand(3), expected)


def test_casting_the_network_keeps_the_pair_one_and_its_values(network, rule):
    apply_adapters(network, {"language": rule})
    (pair,) = pairs(network)
    values = pair.a.clone(), pair.b.clone()
    network.bfloat16()
    assert torch.equal(pair.a, values[0]) and pair.a.dtype == torch.float32
    network.double()
    assert torch.equal(pair.a, values[0].double())
    network.float()
    assert torch.equal(pair.a, values[0]) and torch.equal(pair.b, values[1])
    assert pairs(network) == [pair]
    layers = list(adapted_layers(network).values())
    assert len({layer.scaled().a.data_ptr() for layer in layers}) == 1


def test_a_network_adapted_without_values_gets_the_matrices_with_them(network, rule):
    with torch.device("meta"):
        empty = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4))
    apply_adapters(empty, {"network": {**rule, "layers": None}})
    (pair,) = pairs(empty)
    assert pair.a.is_meta
    empty.to_empty(device="cpu")
    assert torch.equal(pair.a, SharedProjections(rank=5, in_features=6, out_features=4).a)


def test_a_deep_copy_shares_a_pair_of_its_own(network, rule):
    apply_adapters(network, {"language": rule})
    twin = copy.deepcopy(network)
    (pair,), (other,) = pairs(network), pairs(twin)
    assert other is not pair and torch.equal(other.a, pair.a)


def train(network, audit, data, steps):
    optimizer = torch.optim.AdamW(parameter_groups(network, audit, lr=1e-2, weight_decay=0.0))
    for _ in range(steps):
        optimizer.zero_grad()
        network(*data).pow(2).mean().backward()
        optimizer.step()


def test_vectors_move_and_the_matrices_do_not(network, rule, data):
    audit = apply_adapters(network, {"language": rule})
    check = MovementCheck(network)
    assert [name for name in check.frozen if name.endswith("projections.a")]
    train(network, audit, data, 2)
    check.check()
    with torch.no_grad():
        pairs(network)[0].b[0, 0] += 1.0
    with pytest.raises(ValueError, match=r"frozen tensors that changed: .*projections\.b"):
        check.check()


def test_a_checkpoint_brings_the_vectors_back(network, rule, fresh, shaken, data):
    apply_adapters(network, {"language": rule})
    shaken(network)
    other = fresh()
    apply_adapters(other, {"language": rule})
    load_trainable_state(other, trainable_state(network))
    assert torch.equal(other(*data), network(*data))


def test_merged_weights_compute_the_same_map(network, rule, shaken, data):
    apply_adapters(network, {"language": rule})
    shaken(network)
    expected = network(*data)
    with merged(network):
        torch.testing.assert_close(network(*data), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(network(*data), expected)


@pytest.mark.parametrize("seed", [0, 3])
def test_saved_then_loaded_gives_equal_outputs(network, rule, seed, fresh, shaken, data, tmp_path):
    selection = {
        "projector": {"method": "lora", "rank": 2},
        "language": {**rule, "projection_seed": seed, "dropout": 0.1},
    }
    audit = apply_adapters(network, selection)
    shaken(network)
    save_adapter(network, tmp_path / "a")
    other = fresh()
    assert load_adapter(other, tmp_path / "a") == audit
    assert torch.equal(other(*data), network(*data))


def test_an_adapter_is_refused_where_its_seed_draws_other_matrices(
    network, rule, fresh, tmp_path, monkeypatch
):
    apply_adapters(network, {"language": rule})
    save_adapter(network, tmp_path / "a")
    real = SharedProjections._drawn

    def drawn_otherwise(self, device):
        a, b = real(self, device)
        return a, torch.nextafter(b, torch.ones_like(b))

    monkeypatch.setattr(SharedProjections, "_drawn", drawn_otherwise)
    other = fresh()
    with pytest.raises(ValueError, match="'fingerprint': .* there and .* in this network"):
        load_adapter(other, tmp_path / "a")
    assert not adapted_layers(other)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 0}, r"adapter.language.rank=0 must be a whole number of at least 1"),
        ({"rank": None}, "rank is missing"),
        ({"alpha": 2}, "alpha=2 means nothing to method"),
        ({"init": "pissa"}, "init='pissa' means nothing to method"),
        ({"rslora": True}, "rslora=True means nothing to method"),
        ({"lr_ratio": 4}, "lr_ratio=4 means nothing to method"),
        ({"merged_forward": "auto"}, "merged_forward='auto' means nothing to method"),
        ({"projection_seed": -1}, r"adapter.language.projection_seed=-1 must be a whole number in 0"),
        ({"projection_seed": True}, "projection_seed=True must be a whole number"),
        ({"d_initial": 0}, "adapter.language.d_initial=0 would keep d and b"),
        ({"d_initial": "x"}, "adapter.language.d_initial='x' must be a number"),
        ({"layers": ["norm"]}, "matches text.layers.0.norm, a nn.LayerNorm, and no nn.Linear"),
    ],
)
def test_what_it_cannot_do_is_refused(network, rule, options, words):
    with pytest.raises(ValueError, match=words):
        apply_adapters(network, {"language": {**rule, **options}})


def test_norm_gradient_belongs_to_dvora(network):
    with pytest.raises(ValueError, match="norm_gradient='full' means nothing to method vera"):
        apply_adapters(network, {"language": {**VERA, "norm_gradient": "full"}})


def test_layers_on_several_devices_need_several_rules():
    layers = [nn.Linear(2, 2), nn.Linear(2, 2, device="meta")]
    with pytest.raises(ValueError, match="must lie on one device, here on cpu, meta"):
        SharedProjections.for_layers(layers, rank=2)
