"""The norm is computed once per optimizer step, and every way of making it stale fails."""

from __future__ import annotations

import copy
import ctypes

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vl_dora.adapters import DoRALinear, dora
from vl_dora.adapters.step_cache import StepCache

ROWS, COLUMNS = 20, 14


@pytest.fixture
def norms(monkeypatch) -> list[int]:
    """Grows by one with every norm or merged weight that is computed."""
    computed: list[int] = []
    for name in ("factored_norm", "fold"):
        real = getattr(dora, name)
        monkeypatch.setattr(dora, name, lambda *a, real=real: (computed.append(1), real(*a))[1])
    return computed


@pytest.fixture(params=["never", "always"])
def layer(request) -> DoRALinear:
    return dora_layer(request.param)


def dora_layer(merged_forward: str = "never", seed: int = 0) -> DoRALinear:
    torch.manual_seed(seed)
    base = nn.Linear(COLUMNS, ROWS, dtype=torch.float64)
    made = DoRALinear(base, rank=3, alpha=6, merged_forward=merged_forward).train()
    nn.init.normal_(made.lora_b, std=0.3)
    return made


def data(seed: int = 1) -> Tensor:
    return torch.randn(5, COLUMNS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_fresh(layer: DoRALinear) -> None:
    """The output is that of the equation with the numbers that the layer holds now."""
    with torch.no_grad():
        v = layer.base.weight + 2.0 * layer.lora_b @ layer.lora_a
        expected = data() @ (layer.magnitude / v.norm(dim=1))[:, None].mul(v).T + layer.base.bias
        torch.testing.assert_close(layer(data()), expected, atol=1e-12, rtol=1e-12)


def poke(tensor: Tensor) -> None:
    """Writes one number into the memory of a tensor, behind torch's back."""
    ctypes.memmove(tensor.data_ptr() + 8, (ctypes.c_double * 1)(0.77), 8)


def swap_numbers(layer: DoRALinear) -> None:
    flat = layer.lora_b.data.view(-1)
    flat[[0, 1]] = flat[[1, 0]]


def swap_base(layer: DoRALinear) -> None:
    layer.base.weight.data = 2 * torch.randn_like(layer.base.weight)


WRITES = {
    "in place": lambda layer: layer.lora_b.detach().mul_(1.5),
    "copy_, as load_adapter does": lambda layer: layer.lora_a.detach().copy_(torch.ones_like(layer.lora_a)),
    "load_state_dict": lambda layer: layer.load_state_dict(dora_layer(seed=9).state_dict()),
    "load_state_dict with assign": lambda layer: layer.load_state_dict(
        dora_layer(seed=9).state_dict(), assign=True
    ),
    ".data in place": lambda layer: layer.lora_a.data.mul_(1.5),
    ".data of one number": lambda layer: layer.lora_b.data.view(-1)[-1:].add_(1.0),
    ".data, two numbers exchanged": swap_numbers,
    ".data replaced": lambda layer: setattr(layer.lora_b, "data", torch.randn_like(layer.lora_b)),
    "numpy": lambda layer: layer.lora_a.detach().numpy().__imul__(2.0),
    "raw memory": lambda layer: poke(layer.lora_b),
    "a new parameter": lambda layer: setattr(layer, "lora_b", nn.Parameter(torch.randn_like(layer.lora_b))),
    "the base in place": lambda layer: layer.base.weight.detach().mul_(3.0),
    "the base loaded": lambda layer: layer.base.load_state_dict(nn.Linear(COLUMNS, ROWS).state_dict()),
    "the base replaced": swap_base,
    "the base scaled through .data": lambda layer: layer.base.weight.data.mul_(3.0),
    "the magnitude through .data": lambda layer: layer.magnitude.data.mul_(1.5),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("training", [True, False])
def test_no_write_leaves_a_stale_norm(layer, write, training):
    layer.train(training)
    assert_fresh(layer)
    WRITES[write](layer)
    assert_fresh(layer)
    with torch.inference_mode():
        WRITES[write](layer)
        assert_fresh(layer)
    WRITES[write](layer)
    assert_fresh(layer)


OPTIMIZERS = {
    "adamw for-loop": lambda p: torch.optim.AdamW(p, lr=0.1, foreach=False),
    "adamw foreach": lambda p: torch.optim.AdamW(p, lr=0.1, foreach=True),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "sgd foreach": lambda p: torch.optim.SGD(p, lr=0.1, foreach=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_step_brings_one_new_norm(layer, norms, name):
    optimizer = OPTIMIZERS[name](list(layer.parameters(recurse=False)))
    for step in range(3):
        for micro_batch in range(4):
            layer(data(micro_batch)).square().sum().backward()
        assert len(norms) == step + 1
        optimizer.step()
        optimizer.zero_grad()
    assert_fresh(layer)


def test_several_optimizers_and_a_closure(layer, norms):
    up = torch.optim.SGD([layer.lora_b], lr=0.05)
    others = torch.optim.Adam([layer.lora_a, layer.magnitude], lr=0.05)

    def loss() -> Tensor:
        up.zero_grad()
        total = layer(data()).square().sum()
        total.backward()
        return total

    for optimizer in (up, others, up):
        optimizer.step(loss)
        assert_fresh(layer)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_recomputes_no_norm_and_has_the_same_gradients(layer, norms, reentrant):
    grads = []
    for checkpointed in (False, True):
        x = data().requires_grad_()
        for _ in range(2):  # two calls before one backward, as in a shared layer
            y = checkpoint(layer, x, use_reentrant=reentrant) if checkpointed else layer(x)
            z = checkpoint(layer, 2 * x, use_reentrant=reentrant) if checkpointed else layer(2 * x)
            (y.square().sum() + z.sum()).backward()
        grads.append([x.grad, *(p.grad.clone() for p in layer.parameters(recurse=False))])
        layer.zero_grad()
    assert len(norms) == 1
    for found, expected in zip(*grads, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_evaluation_in_between_keeps_the_norm(norms):
    layer = dora_layer()
    layer(data()).sum().backward()
    with torch.inference_mode():
        layer.eval()(data())
    with torch.no_grad():
        layer(data(3))
    layer.train()(data()).sum().backward()
    assert len(norms) == 1


def test_a_norm_first_computed_in_inference_mode_can_train(layer):
    with torch.inference_mode():
        layer(data())
    layer(data()).sum().backward()
    assert layer.lora_a.grad.isfinite().all()


def test_merging_and_unmerging_in_between_leave_no_trace(layer):
    layer(data())
    layer.merge()
    layer.eval()(data())
    layer.unmerge()
    assert_fresh(layer.train())


def test_a_copy_and_a_cast_layer_have_their_own_norm(layer):
    layer(data())
    twin = copy.deepcopy(layer)
    twin.lora_b.data.mul_(2)
    assert_fresh(twin)
    assert_fresh(layer)
    with torch.no_grad():
        expected = layer(data()).float()
    torch.testing.assert_close(layer.float()(data().float()), expected, atol=1e-5, rtol=1e-4)


def test_gradients_of_a_backward_after_a_step_are_refused_not_wrong(layer):
    y = layer(data())
    with torch.no_grad():
        layer.lora_b.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


class OnDevice(Tensor):
    """A CPU tensor that says it lives elsewhere: where numbers cannot be compared without waiting."""

    @property
    def device(self):  # type: ignore[override]
        return torch.device("meta")


def test_without_comparing_numbers_versions_and_optimizer_steps_decide():
    moving = nn.Parameter(torch.ones(3))
    elsewhere = moving.detach().as_subclass(OnDevice)
    cache, made = StepCache(), []

    def value() -> int:
        return cache.get((elsewhere,), None, lambda: (made.append(1), len(made))[1])

    assert value() == value() == 1
    with torch.no_grad():
        moving.add_(1)
    assert value() == value() == 2
    moving.grad = torch.ones(3)
    optimizer = torch.optim.SGD([moving], lr=0.0)
    optimizer.step()
    assert value() == value() == 3
    elsewhere.data.add_(1)  # the one write that is not seen: hence `clear`
    assert value() == 3
    cache.clear()
    assert value() == 4
