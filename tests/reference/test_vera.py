"""VeRA and DVoRA against their equations written out densely in float64, and VeRA against PEFT's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vl_dora.adapters import DVoRALinear, VeRALinear, adapted_layers, apply_adapters
from vl_dora.adapters.projections import SharedProjections

LAYERS = {
    "vera": VeRALinear,
    "dvora": DVoRALinear,
    "dvora, full": lambda base, **k: DVoRALinear(base, norm_gradient="full", **k),
}
FULL = ("dvora, full",)


def made(kind: str, dtype: torch.dtype = torch.float32, rank: int = 5, **options) -> nn.Module:
    """A layer of 12 to 10 features, smaller than its shared pair, after some imagined training."""
    torch.manual_seed(0)
    base = nn.Linear(12, 10, dtype=dtype)
    pair = SharedProjections(rank=rank, in_features=16, out_features=14, seed=2)
    layer = LAYERS[kind](base, projections=pair, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_((0.3 * noise).to(parameter))
    return layer


class Written:
    """y = c * (W x) + bias + c * (diag(b) B diag(d) A x~), c = m / ||W + diag(b) B diag(d) A||."""

    def __init__(self, layer: nn.Module, full: bool) -> None:
        self.w, self.bias = layer.base.weight.detach().double(), layer.base.bias.detach().double()
        self.a = layer.projections.a[:, :12].double()
        self.b = layer.projections.b[:10].double()
        own = layer.named_parameters(recurse=False)
        self.own = {name: p.detach().double().requires_grad_() for name, p in own}
        self.full = full

    def __call__(self, x: Tensor, dropped: Tensor | None = None, mode: str = "branch") -> Tensor:
        dropped = x if dropped is None else dropped
        shift = torch.diag(self.own["lambda_b"]) @ self.b @ torch.diag(self.own["lambda_d"]) @ self.a
        gain = torch.ones(10, dtype=torch.float64)
        if "magnitude" in self.own:
            norm = (self.w + shift).pow(2).sum(dim=1).sqrt()
            gain = self.own["magnitude"] / (norm if self.full else norm.detach())
        if mode == "reference":
            return x @ self.w.T + (gain - 1) * (dropped @ self.w.T) + gain * (dropped @ shift.T) + self.bias
        return gain * (x @ self.w.T) + gain * (dropped @ shift.T) + self.bias


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


CLOSE = {
    torch.float64: ({"atol": 1e-12, "rtol": 1e-12}, 1e-12),
    torch.float32: ({"atol": 1e-5, "rtol": 1e-4}, 1e-5),
    torch.bfloat16: ({"atol": 6e-2, "rtol": 2e-2}, 2e-2),
}


@pytest.mark.parametrize("rank", [1, 5, 40])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_and_gradients_are_those_of_the_written_equation(kind, dtype, rank):
    layer = made(kind, dtype, rank)
    written = Written(layer, kind in FULL)
    outputs, gradients = CLOSE[dtype]
    x = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(3)).to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    weights = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(4)).to(dtype)
    found, expected = layer(x), written(exact)
    torch.testing.assert_close(found.double(), expected, **outputs)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert relative(x.grad, exact.grad) < gradients
    for name, parameter in layer.named_parameters(recurse=False):
        assert relative(parameter.grad, written.own[name].grad) < gradients, name


def test_both_norm_gradients_give_one_output_and_different_gradients():
    layers = [made(kind) for kind in ("dvora", "dvora, full")]
    x = torch.randn(4, 12)
    outputs = [layer(x) for layer in layers]
    assert torch.equal(*outputs)
    for y in outputs:
        y.pow(2).sum().backward()
    detached, full = (layer.lambda_b.grad for layer in layers)
    assert relative(detached, full.double()) > 0.01


@pytest.mark.parametrize(("kind", "mode"), [("vera", "branch"), ("dvora", "branch"), ("dvora", "reference")])
def test_dropout_falls_where_it_is_written(kind, mode):
    options = {} if kind == "vera" else {"dropout_mode": mode}
    layer = made(kind, torch.float64, dropout=0.4, **options).train()
    x = torch.randn(5, 12, dtype=torch.float64)
    torch.manual_seed(8)
    found = layer(x)
    torch.manual_seed(8)
    dropped = nn.functional.dropout(x, 0.4)
    expected = Written(layer, full=False)(x, dropped, mode)
    assert not torch.equal(dropped, x)
    torch.testing.assert_close(found.detach(), expected.detach(), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", ["dvora", "dvora, full"])
def test_the_norm_is_made_once_a_step_and_follows_every_step(kind, monkeypatch):
    from vl_dora.adapters import dvora

    layer = made(kind)
    made_norms = []
    real = dvora.factored_norm
    monkeypatch.setattr(dvora, "factored_norm", lambda *a: made_norms.append(1) or real(*a))
    optimizer = torch.optim.SGD(layer.parameters(recurse=False), lr=0.05)
    x = torch.randn(3, 12)
    for step in range(1, 4):
        for _ in range(2):
            layer(x).pow(2).mean().backward()
        layer.eval()(x)
        layer.train()
        assert len(made_norms) == step
        torch.testing.assert_close(layer(x).double(), Written(layer, False)(x.double()), atol=1e-5, rtol=1e-4)
        optimizer.step()


def test_backward_keeps_no_matrix_of_the_layer():
    layer = made("dvora, full", rank=40)
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    # What the layer holds anyway: its parameters, the norm of the step and the shared pair.
    held = {t.untyped_storage().data_ptr() for t in (*layer.parameters(), *layer.buffers())}
    norm = layer.current_norm()
    held |= {t.untyped_storage().data_ptr() for t in norm}
    x = torch.randn(7, 12)
    held.add(x.untyped_storage().data_ptr())
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        layer(x)
    extra = sorted(tuple(t.shape) for t in kept if t.untyped_storage().data_ptr() not in held)
    assert extra == [(7, 10), (7, 40)]  # the layer's own output, and x A^T


@pytest.mark.parametrize("kind", LAYERS)
def test_compiled_layers_compute_the_same(kind):
    layer = made(kind)
    x = torch.randn(6, 12)
    expected = layer(x)
    expected.pow(2).sum().backward()
    gradients = [p.grad.clone() for p in layer.parameters(recurse=False)]
    layer.zero_grad()
    found = torch.compile(layer, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(found, expected)
    found.pow(2).sum().backward()
    for parameter, gradient in zip(layer.parameters(recurse=False), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_peft_computes_the_same_and_draws_the_same_matrices():
    peft = pytest.importorskip("peft", reason="PEFT is the oracle here")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 8))
    config = peft.VeraConfig(r=6, target_modules=["0", "2"], projection_prng_key=3, d_initial=0.2)
    theirs = peft.get_peft_model(copy.deepcopy(network), config).eval()
    apply_adapters(
        network, {"network": {"method": "vera", "rank": 6, "projection_seed": 3, "d_initial": 0.2}}
    )
    pairs = []
    for path, layer in adapted_layers(network).items():
        twin = theirs.base_model.model[int(path)]
        assert torch.equal(layer.projections.a, twin.vera_A["default"])
        assert torch.equal(layer.projections.b, twin.vera_B["default"])
        pairs += [(layer.lambda_d, twin.vera_lambda_d["default"])]
        pairs += [(layer.lambda_b, twin.vera_lambda_b["default"])]
    assert all(torch.equal(mine, their) for mine, their in pairs)
    with torch.no_grad():
        for mine, their in pairs:
            mine.add_(0.3 * torch.randn_like(mine))
            their.copy_(mine)
    x = torch.randn(5, 12, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours, expected = network(x), theirs(y)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    ours.pow(2).sum().backward()
    expected.pow(2).sum().backward()
    for mine, their in [*pairs, (x, y)]:
        assert relative(mine.grad, their.grad.double()) < 1e-5
