"""A base is known again across dtypes, and told from one that differs by a hundredth."""

import pytest
import torch
from torch import nn

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, merge, save_adapter, unmerge
from vl_dora.adapters.fingerprint import DRIFT, LAYERS, PAIRS, distance, fingerprint


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(48, 64 if n % 2 else 48, bias=False) for n in range(0, 22, 2)))


def adapted(net: nn.Module, method: str = "dora") -> nn.Module:
    apply_adapters(net, {"network": {"method": method, "rank": 4} if method != "magnitude" else method})
    return net


@torch.no_grad()
def shifted(net: nn.Module, share: float) -> nn.Module:
    """Every weight moved by that share of its norm, in a random direction."""
    generator = torch.Generator().manual_seed(9)
    for parameter in net.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.add_(share * parameter.norm() * noise / noise.norm())
    return net


@pytest.mark.parametrize("share", [1e-3, 1e-2, 0.1, 1.0])
def test_the_distance_is_that_of_the_weights(share):
    told = fingerprint(adapted_layers(adapted(network())))
    _, found = distance(adapted_layers(adapted(shifted(network(), share))), told)
    assert 0.5 * share < found < 2 * share


def test_few_layers_evenly_spread_are_told():
    told = fingerprint(adapted_layers(adapted(network())))
    assert len(told) == LAYERS and {len(numbers) for numbers in told.values()} == {PAIRS}
    assert list(told)[0] == "0" and list(told)[-1] in ("9", "10")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_to_half_precision_is_no_other_base(dtype):
    told = fingerprint(adapted_layers(adapted(network())))
    _, found = distance(adapted_layers(adapted(network().to(dtype))), told)
    assert 0 < found < DRIFT / 2


def moved(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return net


@pytest.mark.parametrize("method", ["dora", "lora", "magnitude"])
def test_an_adapter_is_refused_on_another_base_which_stays_as_it_was(method, tmp_path):
    save_adapter(moved(adapted(network(), method)), tmp_path)
    load_adapter(network(), tmp_path)
    load_adapter(moved(adapted(network(), method)), tmp_path)
    other = shifted(network(), 0.02)
    before = [parameter.clone() for parameter in other.parameters()]
    with pytest.raises(
        ValueError, match=r"was trained on another base: \d+ differs by [1-4].* % of its norm"
    ):
        load_adapter(other, tmp_path)
    assert not adapted_layers(other)
    assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))
    with pytest.warns(UserWarning, match="was trained on another base"):
        load_adapter(other, tmp_path, on_drift="warn")
    assert len(adapted_layers(other)) == 11
    with pytest.raises(ValueError, match="on_drift='maybe'"):
        load_adapter(network(), tmp_path, on_drift="maybe")


def test_training_and_merging_leave_the_fingerprint_as_it_is():
    net = adapted(network())
    told = fingerprint(adapted_layers(net))
    moved(net)
    merge(net)
    unmerge(net)
    assert fingerprint(adapted_layers(net)) == told


def test_a_base_that_gave_a_part_of_itself_away_is_not_judged(tmp_path):
    net = network()
    apply_adapters(net, {"network": {"method": "lora", "rank": 4, "init": "pissa"}})
    assert fingerprint(adapted_layers(net)) == {}
    save_adapter(moved(net), tmp_path)
    load_adapter(network(), tmp_path)
