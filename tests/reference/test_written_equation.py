"""DoRA, LoRA and magnitude layers against their equations written out densely in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vl_dora.adapters import DoRALinear, LoRALinear, MagnitudeLinear

S = 8.0 / 4


def moved(layer: nn.Module, seed: int = 1, size: float = 0.3) -> nn.Module:
    """The layer after some imagined training: every parameter of its own away from its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_((size * noise).to(parameter))
    return layer


def base_layer(dtype: torch.dtype = torch.float64, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(12, 10, bias=bias, dtype=dtype)


def wide(tensor: Tensor) -> Tensor:
    return tensor.detach().double().requires_grad_()


class Written:
    """y = c * (W x) + b + c * s * (B A x~), c = m / ||W + s B A||, by the letter."""

    def __init__(self, layer: nn.Module) -> None:
        self.w, self.b = layer.base.weight.detach().double(), layer.base.bias
        self.own = {name: wide(p) for name, p in layer.named_parameters(recurse=False)}

    def shift(self) -> Tensor:
        if "lora_a" not in self.own:
            return torch.zeros_like(self.w)
        return S * self.own["lora_b"] @ self.own["lora_a"]

    def gain(self, norm_gradient: str) -> Tensor:
        if "magnitude" not in self.own:
            return torch.ones(len(self.w), dtype=torch.float64)
        norm = (self.w + self.shift()).pow(2).sum(dim=1).sqrt()
        return self.own["magnitude"] / (norm.detach() if norm_gradient == "detached" else norm)

    def __call__(self, x: Tensor, norm_gradient: str = "detached") -> Tensor:
        v = self.gain(norm_gradient)[:, None] * (self.w + self.shift())
        return x @ v.T + (0 if self.b is None else self.b.detach().double())


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def compare(layer: nn.Module, norm_gradient: str = "detached", *, outputs: dict, gradients: float) -> None:
    written = Written(layer)
    torch.manual_seed(3)
    x = torch.randn(2, 5, 12, dtype=layer.base.weight.dtype, requires_grad=True)
    exact_x = wide(x)
    weights = torch.randn(2, 5, 10, dtype=torch.float64)
    found, expected = layer(x), written(exact_x, norm_gradient)
    torch.testing.assert_close(found.double(), expected, **outputs)
    (found * weights.to(found.dtype)).sum().backward()
    (expected * weights).sum().backward()
    assert relative(x.grad, exact_x.grad) < gradients
    for name, parameter in layer.named_parameters(recurse=False):
        assert relative(parameter.grad, written.own[name].grad) < gradients, name


PRECISIONS = [
    (torch.float64, {"atol": 1e-12, "rtol": 1e-12}, 1e-12),
    (torch.float32, {"atol": 1e-5, "rtol": 1e-4}, 1e-5),
]


@pytest.mark.parametrize(("dtype", "outputs", "gradients"), PRECISIONS)
@pytest.mark.parametrize("norm_gradient", ["full", "detached"])
@pytest.mark.parametrize("bias", [True, False])
def test_dora_is_equation_five(dtype, outputs, gradients, norm_gradient, bias):
    layer = moved(DoRALinear(base_layer(dtype, bias), rank=4, alpha=8, norm_gradient=norm_gradient))
    compare(layer, norm_gradient, outputs=outputs, gradients=gradients)


@pytest.mark.parametrize(("dtype", "outputs", "gradients"), PRECISIONS)
def test_lora_is_its_equation(dtype, outputs, gradients):
    compare(moved(LoRALinear(base_layer(dtype), rank=4, alpha=8)), outputs=outputs, gradients=gradients)


@pytest.mark.parametrize(("dtype", "outputs", "gradients"), PRECISIONS)
def test_magnitude_is_its_equation(dtype, outputs, gradients):
    compare(moved(MagnitudeLinear(base_layer(dtype))), outputs=outputs, gradients=gradients)


def test_the_two_norm_gradients_differ_and_only_in_the_low_rank_factors():
    grads = {}
    for word in ("full", "detached"):
        layer = moved(DoRALinear(base_layer(), rank=4, alpha=8, norm_gradient=word))
        torch.manual_seed(3)
        layer(torch.randn(7, 12, dtype=torch.float64)).pow(2).sum().backward()
        grads[word] = {name: p.grad for name, p in layer.named_parameters(recurse=False)}
    assert torch.equal(grads["full"]["magnitude"], grads["detached"]["magnitude"])
    for name in ("lora_a", "lora_b"):
        assert relative(grads["full"][name], grads["detached"][name]) > 0.02


@pytest.mark.parametrize("mode", ["branch", "reference"])
def test_dropout_modes_with_the_very_same_mask(mode):
    layer = moved(DoRALinear(base_layer(), rank=4, alpha=8, dropout=0.5, dropout_mode=mode)).train()
    written = Written(layer)
    x = torch.randn(6, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(11)
    dropped = nn.functional.dropout(x, 0.5)
    c, w, shift, b = written.gain("detached"), written.w, written.shift(), written.b.detach()
    if mode == "branch":
        expected = c * (x @ w.T) + b + c * (dropped @ shift.T)
    else:
        expected = x @ w.T + (c - 1) * (dropped @ w.T) + b + c * (dropped @ shift.T)
    torch.manual_seed(11)
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(layer.eval()(x), written(x), atol=1e-12, rtol=1e-12)


def test_norm_of_rows_that_cancel_is_right():
    base = base_layer(torch.float32)
    layer = moved(DoRALinear(base, rank=10, alpha=10))
    with torch.no_grad():  # V = W + B A is W times 1e-4 in rows 0..4
        u, values, v = torch.linalg.svd(base.weight.double(), full_matrices=False)
        layer.lora_a.copy_(v)
        layer.lora_b[:5] = (-(1 - 1e-4) * (u * values))[:5].float()
    w, b, a = base.weight.double(), layer.lora_b.double(), layer.lora_a.double()
    expected = (w + b @ a).norm(dim=1)
    assert expected[:5].max() < 1e-3
    torch.testing.assert_close(layer.squares().sqrt().double(), expected, atol=0, rtol=1e-4)


def test_full_norm_gradient_flows_through_rows_that_cancel():
    base = base_layer(torch.float32)
    layer = DoRALinear(base, rank=10, alpha=10, norm_gradient="full")
    with torch.no_grad():
        u, values, v = torch.linalg.svd(base.weight.double(), full_matrices=False)
        layer.lora_a.copy_(v)
        layer.lora_b.copy_(-(1 - 1e-3) * (u * values))
    a, b = wide(layer.lora_a), wide(layer.lora_b)
    (base.weight.double() + b @ a).norm(dim=1).sum().backward()
    layer.squares().sqrt().sum().backward()
    assert relative(layer.lora_b.grad, b.grad) < 1e-3


def test_half_precision_agrees_with_the_float64_fold():
    layer = moved(DoRALinear(base_layer(torch.bfloat16), rank=4, alpha=8))
    x = torch.randn(9, 12, generator=torch.Generator().manual_seed(2)).bfloat16()
    expected = Written(layer)(x.double())
    found = layer(x)
    assert found.dtype == torch.bfloat16
    assert relative(found.detach(), expected.detach()) < 8e-3
