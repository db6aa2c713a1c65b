"""Convolutions of every geometry against their equation, written out channel by channel in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vl_dora.adapters import apply_adapters
from vl_dora.adapters.conv import DoRAConv, LoRAConv, MagnitudeConv

S = 6.0 / 4
BASES = {
    "1d": (nn.Conv1d, (4, 8, 3), {}, (3, 4, 9)),
    "1d, strided, without bias": (
        nn.Conv1d,
        (4, 8, 3),
        {"stride": 2, "padding": 1, "bias": False},
        (2, 4, 9),
    ),
    "1d, of one sample": (nn.Conv1d, (4, 8, 3), {"padding": "same", "dilation": 2}, (4, 9)),
    "2d, dilated": (nn.Conv2d, (4, 8, (3, 2)), {"dilation": (2, 1), "padding": 1}, (2, 4, 7, 6)),
    "2d, circular": (nn.Conv2d, (4, 8, 3), {"padding": 1, "padding_mode": "circular"}, (2, 4, 5, 6)),
    "2d, reflecting": (nn.Conv2d, (4, 8, 3), {"padding": 2, "padding_mode": "reflect"}, (2, 4, 5, 6)),
    "2d, patches": (nn.Conv2d, (4, 8, 3), {"stride": 3}, (2, 4, 6, 9)),
    "2d, two groups": (nn.Conv2d, (4, 8, 3), {"groups": 2, "stride": 2, "padding": 1}, (2, 4, 7, 6)),
    "2d, depth by depth": (nn.Conv2d, (4, 8, 3), {"groups": 4, "padding": 1}, (2, 4, 5, 5)),
    "3d": (nn.Conv3d, (4, 8, 2), {}, (2, 4, 4, 3, 3)),
}
METHODS = {
    "lora": lambda base, **k: LoRAConv(base, rank=4, alpha=6, **k),
    "dora": lambda base, **k: DoRAConv(base, rank=4, alpha=6, **k),
    "dora_full": lambda base, **k: DoRAConv(base, rank=4, alpha=6, norm_gradient="full", **k),
    "magnitude": lambda base, **k: MagnitudeConv(base, **k),
}


@pytest.fixture(params=BASES)
def geometry(request):
    return request.param


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def base_and_input(geometry: str, dtype=torch.float32) -> tuple[nn.Module, Tensor]:
    kind, sizes, options, shape = BASES[geometry]
    torch.manual_seed(0)
    return kind(*sizes, **options).to(dtype), torch.randn(shape).to(dtype)


def shaken(layer, size=0.3):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            parameter.add_(size * torch.randn(parameter.shape, generator=generator).to(parameter))
    return layer


class Written:
    """The plain convolution whose every channel is c * (W + s * sum of B times A of its own group)."""

    def __init__(self, layer) -> None:
        self.base = layer.base
        self.w = layer.base.weight.detach().double()
        self.own = {
            name: p.detach().double().requires_grad_() for name, p in layer.named_parameters(recurse=False)
        }

    def weight(self, full: bool = False) -> Tensor:
        v, groups = self.w, self.base.groups
        if "lora_a" in self.own:
            a, b = self.own["lora_a"], self.own["lora_b"].flatten(1)
            each, of_group = len(a) // groups, len(self.w) // groups
            rows = []
            for channel in range(len(self.w)):
                first = channel // of_group * each
                rows.append(sum(b[channel, q] * a[first + q] for q in range(each)))
            v = v + S * torch.stack(rows)
        if "magnitude" not in self.own:
            return v
        norm = v.pow(2).flatten(1).sum(dim=1).sqrt()
        gain = self.own["magnitude"] / (norm if full else norm.detach())
        return gain.view(-1, *[1] * (v.ndim - 1)) * v

    def __call__(self, x: Tensor, full: bool = False) -> Tensor:
        bias = None if self.base.bias is None else self.base.bias.detach().double()
        return self.base._conv_forward(x, self.weight(full), bias)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def test_outputs_and_gradients_are_those_of_the_equation(geometry, method):
    base, x = base_and_input(geometry)
    layer = shaken(METHODS[method](base))
    written, full = Written(layer), method == "dora_full"
    exact_x = x.double().requires_grad_()
    x.requires_grad_(True)
    found, expected = layer(x), written(exact_x, full)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    (found * weights).sum().backward()
    (expected * weights.double()).sum().backward()
    assert relative(x.grad, exact_x.grad) < 1e-5
    for name, parameter in layer.named_parameters(recurse=False):
        assert relative(parameter.grad, written.own[name].grad) < 1e-5, name
    assert base.weight.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_starts_as_the_base_layer_bit_for_bit(geometry, method, dtype):
    base, x = base_and_input(geometry, dtype)
    expected = base(x)
    layer = METHODS[method](base)
    assert torch.equal(layer(x), expected)
    assert {p.dtype for p in layer.parameters(recurse=False)} == {torch.float32}


def test_starts_as_the_base_layer_under_autocast(method):
    base, x = base_and_input("2d, two groups")
    layer = METHODS[method](base)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = layer(x), base(x)
    assert found.dtype == torch.bfloat16 and torch.equal(found, expected)


def test_merged_computes_the_same_map_and_unmerges_bit_for_bit(geometry, method):
    base, x = base_and_input(geometry)
    weight = base.weight.detach().clone()
    layer = shaken(METHODS[method](base)).eval()
    expected = layer(x)
    layer.merge()
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)
    assert base.weight.shape == weight.shape and not torch.equal(base.weight, weight)
    layer.unmerge()
    assert torch.equal(base.weight, weight) and torch.equal(layer(x), expected)


@pytest.mark.parametrize("mode", ["branch", "reference"])
def test_dropout_modes_with_the_very_same_mask(mode):
    base, x = base_and_input("2d, two groups", torch.float64)
    layer = shaken(DoRAConv(base, rank=4, alpha=6, dropout=0.5, dropout_mode=mode)).train()
    written = Written(layer)
    torch.manual_seed(11)
    dropped = nn.functional.dropout(x, 0.5)
    c = layer.magnitude.double() / (written.w + S * layer.shift().view_as(written.w)).flatten(1).norm(dim=1)
    c, bias = c.view(-1, 1, 1), base.bias.detach().view(-1, 1, 1)
    plain, seen = (base._conv_forward(z, written.w, None) for z in (x, dropped))
    update = base._conv_forward(dropped, c.view(-1, 1, 1, 1) * S * layer.shift().view_as(written.w), None)
    expected = c * plain + bias + update if mode == "branch" else plain + (c - 1) * seen + bias + update
    torch.manual_seed(11)
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
def test_norm_of_channels_that_cancel_is_right(groups):
    torch.manual_seed(0)
    base = nn.Conv2d(4, 8, 3, groups=groups)
    layer = DoRAConv(base, rank=8, alpha=8)
    with torch.no_grad():  # V = W + B A is W times 1e-4 in channel 3
        rows = base.weight.flatten(1).view(groups, 8 // groups, -1)
        layer.lora_a.copy_(rows.flatten(0, 1).view_as(layer.lora_a))
        layer.lora_b[3, 3] = -(1 - 1e-4)
    a, b = layer.factors()
    expected = (rows.double() + b.double() @ a.double()).flatten(0, 1).norm(dim=1)
    assert expected[3] < 1e-3
    torch.testing.assert_close(layer.squares().sqrt().double(), expected, atol=0, rtol=1e-4)


def test_the_norm_follows_optimizer_steps_and_loaded_weights():
    base, x = base_and_input("2d, two groups")
    layer = shaken(DoRAConv(base, rank=4, alpha=6))
    optimizer = torch.optim.SGD(layer.parameters(recurse=False), lr=0.1)
    for _ in range(2):
        layer(x).pow(2).sum().backward()
        optimizer.step()
        torch.testing.assert_close(layer(x).double(), Written(layer)(x.double()), atol=1e-4, rtol=1e-4)
    base.load_state_dict({name: 3 * value for name, value in base.state_dict().items()})
    torch.testing.assert_close(layer(x).double(), Written(layer)(x.double()), atol=1e-4, rtol=1e-4)


def test_a_channel_of_zeros_has_gain_one_and_never_nan(method):
    base, x = base_and_input("2d, two groups")
    with torch.no_grad():
        base.weight[3] = 0
    expected = base(x)
    layer = METHODS[method](base)
    assert torch.equal(layer(x), expected)
    layer(x).pow(2).mean().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters(recurse=False))


def test_a_deep_copy_is_independent(method):
    base, x = base_and_input("2d, patches")
    layer = shaken(METHODS[method](base))
    twin, expected = copy.deepcopy(layer), layer(x)
    shaken(layer)
    assert torch.equal(twin(x), expected)


def test_shapes_of_the_parameters():
    base, _ = base_and_input("2d, two groups")
    shapes = {n: tuple(p.shape) for n, p in DoRAConv(base, rank=4, alpha=6).named_parameters(recurse=False)}
    assert shapes == {"magnitude": (8,), "lora_a": (4, 2, 3, 3), "lora_b": (8, 2, 1, 1)}


@pytest.mark.parametrize("rank", [0, 3, 10, 2.0, True])
def test_the_groups_must_divide_the_rank(rank):
    base, _ = base_and_input("2d, two groups")
    with pytest.raises(ValueError, match=r"rank=.* in 1\.\.8 that 2 divides \(the layer has 2 groups\)"):
        LoRAConv(base, rank=rank, alpha=6)


def test_pissa_is_refused():
    base, _ = base_and_input("1d")
    with pytest.raises(ValueError, match="init='pissa' is for nn.Linear, not for a Conv1d"):
        DoRAConv(base, rank=4, alpha=6, init="pissa")


def test_a_convolution_with_a_forward_of_its_own_is_refused():
    class Own(nn.Conv1d):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(ValueError, match="base is a Own; only nn.Conv1d or nn.Conv2d or nn.Conv3d"):
        MagnitudeConv(Own(4, 8, 3))


def test_a_selection_reaches_convolutions_by_name_only():
    def network():
        torch.manual_seed(0)
        return nn.ModuleDict({"stem": nn.Conv2d(3, 8, 4, stride=4), "head": nn.Linear(8, 5)})

    by_name, all_linear = network(), network()
    apply_adapters(by_name, {"network": {"method": "dora", "layers": ["stem"], "rank": 2}})
    assert isinstance(by_name["stem"], DoRAConv) and isinstance(by_name["head"], nn.Linear)
    apply_adapters(all_linear, {"network": {"method": "lora", "rank": 2}})
    assert isinstance(all_linear["stem"], nn.Conv2d) and not isinstance(all_linear["head"], nn.Linear)


@pytest.mark.parametrize("option", ["merged_forward", "quantization"])
def test_an_option_that_a_convolution_does_not_have_is_refused(option):
    network = nn.ModuleDict({"stem": nn.Conv2d(3, 8, 4)})
    rule = {"method": "dora", "layers": ["stem"], "rank": 2}
    rule[option] = "nf4" if option == "quantization" else "always"
    with pytest.raises(ValueError, match=rf"adapter\.network\.{option}=.*Conv2d"):
        apply_adapters(network, {"network": rule})
    assert type(network["stem"]) is nn.Conv2d and network["stem"].weight.requires_grad


def test_another_library_s_conv1d_is_named_as_such():
    pytorch_utils = pytest.importorskip("transformers.pytorch_utils")
    network = nn.ModuleDict({"c_attn": pytorch_utils.Conv1D(6, 4), "head": nn.Linear(6, 2)})
    with pytest.raises(ValueError, match=r"a transformers\.pytorch_utils\.Conv1D, and no nn\.Linear or"):
        apply_adapters(network, {"network": {"method": "dora", "layers": ["c_attn"], "rank": 2}})
