"""Where low-rank factors start, and what the layer computes there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vl_dora.adapters import DoRALinear, LoRALinear
from vl_dora.adapters.initialization import move_residual

LAYERS = {"lora": LoRALinear, "dora": DoRALinear}
RANK = 4


@pytest.fixture(params=LAYERS)
def make(request):
    return LAYERS[request.param]


def linear(dtype: torch.dtype = torch.float32, rows: int = 40, columns: int = 24) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(columns, rows).to(dtype)


def test_rank_stabilised_scale_divides_by_the_root_of_the_rank(make):
    layer = make(linear(), rank=RANK, alpha=8, rslora=True)
    assert layer.scale == 8 / math.sqrt(RANK)
    assert make(linear(), rank=RANK, alpha=8).scale == 8 / RANK


def test_kaiming_factors_lie_within_their_bound_and_fill_it():
    layer = LoRALinear(linear(columns=100, rows=64), rank=50, alpha=1)
    bound = 1 / math.sqrt(100)
    assert 0.98 * bound < layer.lora_a.abs().max().item() <= bound
    assert layer.lora_a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert not layer.lora_b.any()


def test_gaussian_factors_deviate_by_one_over_the_rank():
    layer = LoRALinear(linear(columns=400, rows=64), rank=50, alpha=1, init="gaussian")
    assert layer.lora_a.std().item() == pytest.approx(1 / 50, rel=0.02)
    assert layer.lora_a.abs().max() > 2.5 / 50  # normal, not uniform
    assert not layer.lora_b.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gaussian_start_is_the_base_layer_bit_for_bit(make, dtype):
    base = linear(dtype)
    x = torch.randn(5, 24).to(dtype)
    expected = base(x)
    assert torch.equal(make(base, rank=RANK, alpha=8, init="gaussian")(x), expected)


@pytest.mark.parametrize(
    ("dtype", "close"),
    [
        (torch.float64, {"atol": 1e-13, "rtol": 1e-13}),
        (torch.float32, {"atol": 1e-5, "rtol": 1e-5}),
        (torch.bfloat16, {"atol": 1e-2, "rtol": 1e-2}),
    ],
)
def test_a_pissa_start_is_the_base_layer_to_one_rounding_of_the_weight(make, dtype, close):
    base = linear(dtype)
    x = torch.randn(5, 24, dtype=torch.float64).to(dtype)
    expected = base(x)
    layer = make(base, rank=RANK, alpha=8, init="pissa")
    torch.testing.assert_close(layer(x), expected, **close)


def test_pissa_factors_hold_the_best_approximation_and_the_base_the_rest(make):
    weight = linear(torch.float64).weight.detach().clone()
    layer = make(linear(torch.float64), rank=RANK, alpha=2, init="pissa")
    values = torch.linalg.svdvals(weight)
    shift = layer.scale * layer.lora_b @ layer.lora_a
    # Eckart and Young: no matrix of rank r comes nearer than the tail of the singular values.
    torch.testing.assert_close((weight - shift).norm(), values[RANK:].norm())
    torch.testing.assert_close(torch.linalg.matrix_norm(weight - shift, ord=2), values[RANK])
    torch.testing.assert_close(layer.base.weight + shift, weight)
    # Both factors carry the same share of the singular values.
    torch.testing.assert_close(layer.lora_a.norm(dim=1), layer.lora_b.norm(dim=0))


def test_pissa_magnitudes_are_the_norms_of_the_whole_weight():
    weight = linear().weight.detach().clone()
    layer = DoRALinear(linear(), rank=RANK, alpha=8, init="pissa")
    assert torch.equal(layer.magnitude, DoRALinear(linear(), rank=RANK, alpha=8).magnitude)
    torch.testing.assert_close(layer.magnitude.detach(), weight.norm(dim=1))


def test_pissa_keeps_its_start_out_of_checkpoints_and_counts(make):
    layer = make(linear(), rank=RANK, alpha=8, init="pissa")
    plain = make(linear(), rank=RANK, alpha=8)
    assert set(layer.state_dict()) == set(plain.state_dict())
    assert sum(p.numel() for p in layer.parameters()) == sum(p.numel() for p in plain.parameters())


def test_other_starting_factors_move_the_residual_and_equal_ones_leave_it(make):
    weight = linear(torch.float64).weight.detach().clone()
    layer = make(linear(torch.float64), rank=RANK, alpha=8, init="pissa")
    before = layer.base.weight.detach().clone()
    move_residual(layer, layer._start_a.clone(), layer._start_b.clone())
    assert torch.equal(layer.base.weight, before)
    torch.manual_seed(2)
    down, up = torch.randn(RANK, 24), torch.randn(40, RANK)
    move_residual(layer, down, up)
    torch.testing.assert_close(
        layer.base.weight.detach(), weight - layer.scale * (up.double() @ down.double())
    )
    move_residual(layer, torch.zeros(RANK, 24), torch.zeros(40, RANK))
    torch.testing.assert_close(layer.base.weight.detach(), weight)


def test_the_norm_follows_a_residual_that_moved():
    layer = DoRALinear(linear(torch.float64), rank=RANK, alpha=8, init="pissa")
    x = torch.randn(3, 24, dtype=torch.float64)
    layer(x)  # whatever is remembered between optimizer steps is remembered now
    torch.manual_seed(2)
    move_residual(layer, torch.randn(RANK, 24), torch.randn(40, RANK))
    whole = layer.base.weight + layer.scale * layer.lora_b @ layer.lora_a
    expected = x @ (layer.magnitude[:, None] * whole / whole.norm(dim=1, keepdim=True)).T + layer.base.bias
    torch.testing.assert_close(layer(x), expected)


def test_a_pissa_layer_merges_into_its_map_and_gives_the_residual_back(make):
    layer = make(linear(), rank=RANK, alpha=8, init="pissa").eval()
    with torch.no_grad():
        layer.lora_b.add_(0.1 * torch.randn_like(layer.lora_b))
    x, residual = torch.randn(5, 24), layer.base.weight.detach().clone()
    before = layer(x)
    layer.merge()
    torch.testing.assert_close(layer(x), before, atol=1e-5, rtol=1e-4)
    layer.unmerge()
    assert torch.equal(layer.base.weight, residual)


def test_shapes_need_no_values(make):
    with torch.device("meta"):
        base = nn.Linear(24, 40)
    layer = make(base, rank=RANK, alpha=8, init="pissa")
    assert layer.lora_a.is_meta and layer.lora_a.shape == (RANK, 24) and layer.lora_b.shape == (40, RANK)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init": "olora"}, "init='olora' is unknown; allowed: kaiming, gaussian, pissa"),
        ({"rslora": 1}, "rslora=1 must be true or false"),
    ],
)
def test_unknown_starts_and_scales_are_named(make, options, words):
    with pytest.raises(ValueError, match=words):
        make(linear(), rank=RANK, alpha=8, **options)
