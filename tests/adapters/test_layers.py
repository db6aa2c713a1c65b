"""What every adapted layer promises beyond its equation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vl_dora.adapters import DoRALinear, DVoRALinear, LoRALinear, MagnitudeLinear, VeRALinear
from vl_dora.adapters.projections import SharedProjections

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
KINDS = {
    "lora": lambda base, **k: LoRALinear(base, rank=4, alpha=8, **k),
    "dora": lambda base, **k: DoRALinear(base, rank=4, alpha=8, **k),
    "dora_full": lambda base, **k: DoRALinear(base, rank=4, alpha=8, norm_gradient="full", **k),
    "magnitude": lambda base, **k: MagnitudeLinear(base, **k),
    "vera": lambda base: VeRALinear(base, projections=projections(base)),
    "dvora": lambda base: DVoRALinear(base, projections=projections(base)),
    "dvora_full": lambda base: DVoRALinear(base, projections=projections(base), norm_gradient="full"),
}


def projections(base: nn.Linear) -> SharedProjections:
    return SharedProjections.for_layers([base], rank=6, seed=3)


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def linear(dtype=torch.float32, rows=40, columns=24, bias=True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(columns, rows, bias=bias).to(dtype)


def shaken(layer, size=0.2):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            parameter.add_(size * torch.randn_like(parameter))
    return layer


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_starts_as_the_base_layer_bit_for_bit(make, dtype, bias):
    base = linear(dtype, bias=bias)
    x = torch.randn(3, 7, 24).to(dtype)
    expected = base(x)
    assert torch.equal(make(base)(x), expected)


@pytest.mark.parametrize("mode", ["branch", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_starts_as_the_base_layer_while_dropping(mode, dtype):
    base = linear(dtype)
    layer = DoRALinear(base, rank=4, alpha=8, dropout=0.5, dropout_mode=mode).train()
    x = torch.randn(5, 24).to(dtype)
    assert torch.equal(layer(x), base(x))


def test_starts_as_the_base_layer_under_autocast(make):
    base = linear()
    x = torch.randn(5, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = make(base)(x), base(x)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)


def test_autocast_leaves_the_norm_in_float32():
    layer = shaken(KINDS["dora"](linear()))
    expected = layer.squares()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.squares(), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_own_parameters_are_float32_also_after_the_network_is_cast(make, dtype):
    layer = make(linear(dtype))
    assert {p.dtype for p in layer.parameters(recurse=False)} == {torch.float32}
    values = [p.detach().clone() for p in layer.parameters(recurse=False)]
    network = nn.Sequential(layer).to(torch.bfloat16)
    assert layer.base.weight.dtype == torch.bfloat16
    assert all(torch.equal(p, v) for p, v in zip(layer.parameters(recurse=False), values, strict=True))
    assert network(torch.randn(2, 24).bfloat16()).isfinite().all()


def test_zero_rows_have_gain_one_and_never_nan(make):
    base = linear()
    with torch.no_grad():
        base.weight[3] = 0
        base.weight[7] = 1e-25
    layer = make(base)
    x = torch.randn(6, 24)
    assert torch.equal(layer(x), base(x))
    if hasattr(layer, "gain"):
        squares = layer.squares() if hasattr(layer, "squares") else layer.base_squares()
        assert torch.equal(layer.gain(squares), torch.ones(40))
    optimizer = torch.optim.AdamW(layer.parameters(recurse=False), lr=1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        layer(x).pow(2).mean().backward()
        assert all(p.grad.isfinite().all() for p in layer.parameters(recurse=False))
        optimizer.step()
    assert layer(x).isfinite().all()


def test_only_own_parameters_receive_a_gradient(make):
    layer = make(linear())
    layer(torch.randn(2, 24)).sum().backward()
    assert layer.base.weight.grad is None and layer.base.bias.grad is None
    assert all(p.grad is not None for p in layer.parameters(recurse=False))


def test_a_trainable_bias_gets_the_plain_gradient(make):
    layer = shaken(make(linear()))
    layer.base.bias.requires_grad_(True)
    layer(torch.randn(5, 24)).sum().backward()
    torch.testing.assert_close(layer.base.bias.grad, torch.full((40,), 5.0))


def test_the_norm_follows_weights_loaded_later():
    layer = shaken(KINDS["dora"](linear()))
    before = layer.squares()
    layer.base.load_state_dict({k: 3 * v for k, v in layer.base.state_dict().items()})
    torch.testing.assert_close(
        layer.squares().sqrt(), (layer.base.weight + 2 * layer.lora_b @ layer.lora_a).norm(dim=1)
    )
    assert not torch.allclose(before, layer.squares())


def test_shapes_of_the_parameters():
    layer = DoRALinear(linear(), rank=4, alpha=8)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters(recurse=False)}
    assert shapes == {"magnitude": (40,), "lora_a": (4, 24), "lora_b": (40, 4)}
    assert set(layer.state_dict()) == {"magnitude", "lora_a", "lora_b", "base.weight", "base.bias"}


@pytest.mark.parametrize("rank", [0, -1, 25, 2.0, True, None])
def test_rank_must_fit_the_layer(rank):
    with pytest.raises(ValueError, match=r"rank=.* must be a whole number in 1\.\.24"):
        DoRALinear(linear(), rank=rank, alpha=8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": -0.1}, "dropout=-0.1"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"norm_gradient": "none"}, "allowed: detached, full"),
        ({"dropout_mode": "both"}, "allowed: branch, reference"),
    ],
)
def test_options_outside_their_range_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        DoRALinear(linear(), **{"rank": 4, "alpha": 8, **options})


def test_only_linear_layers_can_be_adapted():
    with pytest.raises(ValueError, match="Conv2d"):
        DoRALinear(nn.Conv2d(3, 4, 1), rank=1, alpha=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_merged_layer_computes_the_same_map_and_unmerges_bit_for_bit(make, dtype):
    layer = shaken(make(linear(dtype))).eval()
    x = torch.randn(9, 24).to(dtype)
    weight, before = layer.base.weight.detach().clone(), layer(x)
    layer.merge()
    loose = {"atol": 2e-2, "rtol": 2e-2} if dtype.itemsize == 2 else {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(layer(x), before, **loose)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.base.weight, layer.base.bias))
    assert not torch.equal(layer.base.weight, weight)
    layer.unmerge()
    assert torch.equal(layer.base.weight, weight)
    assert torch.equal(layer(x), before)


def test_a_merged_layer_refuses_to_train(make):
    layer = make(linear()).train()
    layer.merge()
    with pytest.raises(RuntimeError, match="unmerge"):
        layer(torch.randn(2, 24))
    with pytest.raises(ValueError, match="already merged"):
        layer.merge()
    layer.unmerge()
    with pytest.raises(ValueError, match="not merged"):
        layer.unmerge()


def test_a_deep_copy_is_independent(make):
    layer = shaken(make(linear()))
    twin = copy.deepcopy(layer)
    x = torch.randn(3, 24)
    expected = layer(x)
    shaken(layer)
    assert torch.equal(twin(x), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
def test_starts_as_the_base_layer_after_a_move_to_the_gpu(make, dtype):
    layer = make(linear(dtype, rows=768, columns=512)).to("cuda")
    x = torch.randn(33, 512, device="cuda").to(dtype)
    assert torch.equal(layer(x), layer.base(x))
