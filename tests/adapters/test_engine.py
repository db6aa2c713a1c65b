"""The autograd of adapted layers: gradients in every setting, and what is kept for the backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from vl_dora.adapters import DoRALinear, LoRALinear, MagnitudeLinear

ROWS, COLUMNS, RANK, SCALE = 20, 14, 3, 2.0
TOKENS = 50
MAKERS = {
    "lora": lambda base, **k: LoRALinear(base, rank=RANK, alpha=SCALE * RANK, **k),
    "dora": lambda base, **k: DoRALinear(base, rank=RANK, alpha=SCALE * RANK, **k),
    "magnitude": lambda base, **k: MagnitudeLinear(base, **k),
}
# Method, options: everything that changes which gradients flow, or how they are computed.
SETTINGS = {
    "lora": ("lora", {}),
    "dora, detached, factors": ("dora", {"merged_forward": "never"}),
    "dora, detached, merged": ("dora", {"merged_forward": "always"}),
    "dora, full, factors": ("dora", {"merged_forward": "never", "norm_gradient": "full"}),
    "dora, full, merged": ("dora", {"merged_forward": "always", "norm_gradient": "full"}),
    "magnitude": ("magnitude", {}),
}
DROPOUTS = {
    "lora": ("lora", {"dropout": 0.4}),
    "branch, detached": ("dora", {"dropout": 0.4}),
    "branch, full": ("dora", {"dropout": 0.4, "norm_gradient": "full"}),
    "reference, detached": ("dora", {"dropout": 0.4, "dropout_mode": "reference"}),
    "reference, full": ("dora", {"dropout": 0.4, "dropout_mode": "reference", "norm_gradient": "full"}),
}


def made(method: str, options: dict, dtype: torch.dtype = torch.float64, bias: bool = True) -> nn.Module:
    """A layer away from its start, in training mode; its bias trains."""
    torch.manual_seed(0)
    layer = MAKERS[method](nn.Linear(COLUMNS, ROWS, bias=bias, dtype=dtype), **options).train()
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            parameter.add_(0.3 * torch.randn_like(parameter))
    if bias:
        layer.base.bias.requires_grad_(True)
    return layer


def written(
    layer: nn.Module, own: dict[str, Tensor], x: Tensor, keep: Tensor | None, b: Tensor | None
) -> Tensor:
    """The equation in plain float64 operations under torch's own autograd."""
    w = layer.base.weight.detach().double()
    shift = SCALE * own["lora_b"] @ own["lora_a"] if "lora_a" in own else torch.zeros_like(w)
    c = torch.ones(ROWS, dtype=torch.float64)
    if "magnitude" in own:
        norm = (w + shift).norm(dim=1)
        c = own["magnitude"] / (norm if getattr(layer, "norm_gradient", "full") == "full" else norm.detach())
    seen = x if keep is None else x * keep / (1 - layer.dropout.p)
    y = c * (seen @ shift.T) + (0 if b is None else b)
    if keep is not None and getattr(layer, "dropout_mode", "") == "reference":
        return y + x @ w.T + (c - 1) * (seen @ w.T)
    return y + c * (x @ w.T)


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def compare(layer: nn.Module, x: Tensor, tolerance: float, loss=None) -> None:
    """Output and every gradient against the equation, the same numbers dropped."""
    keep = None
    if getattr(layer, "dropout", None) is not None and layer.dropout.p > 0:
        torch.manual_seed(11)
        keep = F.dropout(torch.ones_like(x), layer.dropout.p) != 0
    own = {n: p.detach().double().requires_grad_() for n, p in layer.named_parameters(recurse=False)}
    bias = None if layer.base.bias is None else layer.base.bias.detach().double().requires_grad_()
    exact_x = x.detach().double().requires_grad_()
    expected = written(layer, own, exact_x, keep, bias)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    torch.manual_seed(11)
    found = layer(x)
    assert relative(found.detach(), expected.detach()) < tolerance
    (found * weights.to(found.dtype)).sum().backward()
    (expected * weights).sum().backward()
    for name, parameter in layer.named_parameters(recurse=False):
        assert parameter.grad.dtype == parameter.dtype
        assert relative(parameter.grad, own[name].grad) < tolerance, name
    if bias is not None:
        assert relative(layer.base.bias.grad, bias.grad) < tolerance
    if x.requires_grad:
        assert relative(x.grad, exact_x.grad) < tolerance


def data(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, COLUMNS, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(
        dtype
    )


@pytest.mark.parametrize("setting", [*SETTINGS, *DROPOUTS])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
def test_output_and_gradients_are_those_of_the_equation(setting, bias, dtype, tolerance):
    method, options = {**SETTINGS, **DROPOUTS}[setting]
    compare(made(method, options, dtype, bias), data(3, 4, dtype=dtype).requires_grad_(), tolerance)


@pytest.mark.parametrize("setting", [s for s in [*SETTINGS, *DROPOUTS] if "merged" not in s])
def test_half_precision_stays_near_the_float64_fold(setting):
    method, options = {**SETTINGS, **DROPOUTS}[setting]
    compare(made(method, options, torch.bfloat16), data(40, dtype=torch.bfloat16).requires_grad_(), 1.5e-2)


@pytest.mark.parametrize("setting", [s for s in [*SETTINGS, *DROPOUTS] if "merged" not in s])
def test_autocast_computes_in_half_precision_and_returns_float32_gradients(setting):
    method, options = {**SETTINGS, **DROPOUTS}[setting]
    layer, x = made(method, options, torch.float32), data(40, dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compare(layer, x, 1.5e-2)
        assert layer(x).dtype == torch.bfloat16


# Finite differences see the norm move; the detached gradient does not, by definition.
@pytest.mark.parametrize("setting", [s for s in SETTINGS if "detached" not in s])
def test_gradcheck(setting):
    """torch moves one number at a time through `.data`; a norm that missed one would fail here."""
    method, options = SETTINGS[setting]
    layer = made(method, options)
    own = list(layer.parameters(recurse=False))
    assert gradcheck(lambda x, *_: layer(x), (data(2, 3).requires_grad_(), *own))


@pytest.mark.parametrize("setting", [*SETTINGS, *DROPOUTS])
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0,), (2, 0, 3)])
def test_any_leading_dimensions_and_empty_batches(setting, shape):
    method, options = {**SETTINGS, **DROPOUTS}[setting]
    layer, x = made(method, options), data(*shape).requires_grad_()
    y = layer(x)
    assert y.shape == (*shape, ROWS)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert all(p.grad.shape == p.shape and p.grad.isfinite().all() for p in layer.parameters(recurse=False))


@pytest.mark.parametrize("setting", [*SETTINGS, *DROPOUTS])
def test_an_input_without_gradient_and_one_with_other_strides(setting):
    method, options = {**SETTINGS, **DROPOUTS}[setting]
    compare(made(method, options), data(3, 4), 1e-12)
    if setting not in DROPOUTS:  # the oracle draws its mask for a contiguous x
        compare(made(method, options), data(3, 4).transpose(0, 1).requires_grad_(), 1e-12)


@pytest.mark.parametrize("frozen", [["lora_a"], ["lora_b"], ["magnitude"], ["lora_a", "lora_b"]])
@pytest.mark.parametrize("setting", [s for s in SETTINGS if "dora" in s])
def test_a_frozen_parameter_gets_no_gradient_and_the_others_keep_theirs(setting, frozen):
    method, options = SETTINGS[setting]
    grads = []
    for names in ([], frozen):
        layer, x = made(method, options), data(6).requires_grad_()
        for name in names:
            getattr(layer, name).requires_grad_(False)
        layer(x).square().sum().backward()
        grads.append({"x": x.grad, **{n: p.grad for n, p in layer.named_parameters(recurse=False)}})
    for name, whole in grads[0].items():
        if name in frozen:
            assert grads[1][name] is None
        else:
            torch.testing.assert_close(grads[1][name], whole, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s != "lora"])
def test_rows_whose_gain_is_about_zero_keep_an_exact_gradient_of_the_magnitude(setting):
    method, options = SETTINGS[setting]
    layer = made(method, options, torch.float32)
    with torch.no_grad():
        layer.magnitude[3], layer.magnitude[5], layer.magnitude[7] = 0.0, 1e-12, -1e-4
        layer.base.bias.mul_(100)
    x = data(30, dtype=torch.float32)
    own = {n: p.detach().double().requires_grad_() for n, p in layer.named_parameters(recurse=False)}
    written(layer, own, x.double(), None, layer.base.bias.detach().double()).square().sum().backward()
    layer(x).square().sum().backward()
    weak = [3, 5, 7]
    assert relative(layer.magnitude.grad[weak], own["magnitude"].grad[weak]) < 1e-5


# What the backward keeps beside the input, the output and the layer's own tensors, in numbers.
KEPT = {
    "lora": [TOKENS * RANK],
    "dora, detached, factors": [TOKENS * RANK, ROWS],
    "dora, detached, merged": [ROWS * COLUMNS, ROWS],
    "dora, full, factors": [TOKENS * RANK, ROWS, ROWS * RANK, RANK * RANK],
    "dora, full, merged": [ROWS * COLUMNS, ROWS, ROWS * RANK, RANK * RANK],
    "magnitude": [ROWS],
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_only_the_input_the_output_and_a_low_rank_product_are_kept(setting):
    method, options = SETTINGS[setting]
    layer, x = made(method, options, torch.float32), data(TOKENS, dtype=torch.float32).requires_grad_()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    for tensor in (x, y, *layer.parameters()):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    assert sorted(kept.values()) == sorted(KEPT[setting])


def test_an_output_changed_in_place_is_named_with_its_remedy():
    layer, x = made("dora", {}), data(4).requires_grad_()
    y = F.relu(layer(x), inplace=True)
    with pytest.raises(RuntimeError, match="out-of-place form"):
        y.sum().backward()


def test_merged_forward_is_for_float32_without_dropout():
    with pytest.raises(ValueError, match="merged_forward='always' needs float32"):
        made("dora", {"merged_forward": "always"}, torch.bfloat16)(data(2, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="dropout 0.1"):
        made("dora", {"merged_forward": "always", "dropout": 0.1})(data(2))
    with pytest.raises(ValueError, match="allowed: auto, always, never"):
        made("dora", {"merged_forward": "sometimes"})


def test_the_merged_forward_starts_by_itself_where_it_pays():
    few, many = data(2), data(40)
    layer = made("dora", {})
    twin = made("dora", {"merged_forward": "never"})
    layer(few)
    assert layer._folded._value is None
    torch.testing.assert_close(layer(many), twin(many), atol=1e-12, rtol=1e-12)
    assert layer._folded._value is not None and twin._folded._value is None
    half = made("dora", {}, torch.bfloat16)
    half(many.bfloat16())
    assert half._folded._value is None
