"""A planned step against a real one: memory by torch's allocator, operations by formulas written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from vl_dora.adapters import apply_adapters
from vl_dora.batch import Batch
from vl_dora.planning.batch_shape import BatchShape
from vl_dora.planning.shapes_only import ShapesOnly
from vl_dora.planning.step import training_step

DORA = {"method": "dora", "layers": ["q_proj", "v_proj", "fc1", "fc2"], "rank": 4, "alpha": 4}
LLAMA = {"method": "dora", "layers": ["q_proj", "v_proj", "up_proj"], "rank": 4, "alpha": 4}


class Module(nn.Module):
    """What a planned step asks of a Lightning module."""

    def __init__(self, network: nn.Module, selection: dict) -> None:
        super().__init__()
        self.audit = apply_adapters(network, selection)
        self.network = network

    def on_train_start(self) -> None:
        """Nothing rests."""


class Numbers(ShapesOnly):
    """Real zeros in place of fake tensors."""

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.zeros(*shape, dtype=dtype)


def allocated_peak(module: Module, batch: Batch) -> int:
    """Bytes at the peak of the second step, as torch's CPU allocator reports them; weights included."""
    module.train()
    trained = [p for p in module.network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, foreach=False)
    held = [*module.network.parameters(), *module.network.buffers()]
    held += [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        for _ in range(2):
            loss = module.network.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            del loss
            optimizer.step()
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak + sum(tensor.numel() * tensor.element_size() for tensor in held)


def planned(module: Module, shape: BatchShape, **options) -> object:
    usual = {"device": "cpu", "precision": "32-true", "accumulates": False}
    return training_step(module, shape.make, **{**usual, **options}).cost()


@pytest.mark.parametrize(
    "selection",
    [
        {"language": DORA},
        {"language": {**DORA, "norm_gradient": "full"}},
        {"language": {**DORA, "method": "lora", "dropout": 0.1}},
        {"language": "full", "projector": "full"},
        {"language": {"method": "magnitude", "layers": ["fc1", "fc2"]}},
    ],
    ids=["dora", "dora, full gradient", "lora", "full", "magnitude"],
)
def test_the_peak_is_what_the_allocator_reports_of_an_encoder_decoder(tiny_vl_bart, selection):
    shape = BatchShape(64, 30, 10, 2, features=(4, 12))
    real = allocated_peak(Module(tiny_vl_bart(), selection), shape.make(Numbers()))
    cost = planned(Module(tiny_vl_bart().to("meta"), selection), shape)
    assert cost.peak == pytest.approx(real, rel=0.02)
    assert sum(cost.at_peak.values()) == cost.peak
    assert cost.activations > 0.5 * cost.peak  # so that it is they that were compared


@pytest.mark.parametrize("options", [{}, {"checkpointing": True}, {"loss_chunk": 100}], ids=str)
def test_the_peak_is_what_the_allocator_reports_of_a_decoder(tiny_llava, options):
    shape = BatchShape(32, 60, 30, 1, visual_tokens=4, pixels=8)
    selection = {"language": LLAMA, "projector": "full"}
    real = allocated_peak(Module(tiny_llava(**options), selection), shape.make(Numbers()))
    cost = planned(Module(tiny_llava(**options).to("meta"), selection), shape)
    assert cost.peak == pytest.approx(real, rel=0.02)


def test_checkpointing_and_half_precision_save_activations(tiny_llava):
    shape = BatchShape(32, 60, 30, 1, visual_tokens=4, pixels=8)

    def cost(precision: str = "32-true", **options):
        module = Module(tiny_llava(**options).to("meta"), {"language": LLAMA})
        return planned(module, shape, precision=precision)

    plain, saved, narrow = cost(), cost(checkpointing=True), cost("bf16-mixed")
    assert saved.activations < 0.7 * plain.activations
    assert narrow.activations < 0.8 * plain.activations
    assert saved.forward_flops == plain.forward_flops
    assert saved.backward_flops > plain.backward_flops + 0.5 * plain.forward_flops


def test_weights_gradients_and_optimizer_state_are_what_the_parameters_take(tiny_vl_bart):
    module = Module(tiny_vl_bart().to("meta"), {"language": DORA})
    trained = sum(p.numel() for p in module.network.parameters() if p.requires_grad)
    tensors = [*module.network.parameters(), *module.network.buffers()]
    weights = sum(-(-t.numel() * t.element_size() // 64) * 64 for t in tensors)
    cost = planned(module, BatchShape(2, 5, 3, 1, features=(4, 12)))
    assert (cost.gradients, cost.optimizer) == (4 * trained, 8 * trained)
    assert cost.weights == weights


class Chain(nn.Module):
    """Two linear maps without bias: the second has a gradient for its input, the first has none."""

    parts = {"language": ("maps",)}

    def __init__(self, inner: int, outer: int, tokens: int) -> None:
        super().__init__()
        self.tokens, self.inner = tokens, inner
        self.maps = nn.Sequential(nn.Linear(inner, outer, bias=False), nn.Linear(outer, inner, bias=False))

    def loss(self, batch: Batch) -> torch.Tensor:
        return self.maps(batch.features.reshape(self.tokens, self.inner)).sum()


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_operations_of_adapted_layers_are_those_of_the_formula(method):
    """2 t i o for x W^T, 2 t r (i + o) for (x A^T) B^T; backward dx, dA, dB likewise; DoRA's norm beside."""
    i, o, r, t = 24, 40, 4, 36
    rule = {"method": method, "layers": ["0", "1"], "rank": r, "alpha": r}
    rule |= {"merged_forward": "never"} if method == "dora" else {}
    module = Module(Chain(i, o, t).to("meta"), {"language": rule})
    cost = planned(module, BatchShape(t, 1, 1, 1, features=(1, i)))

    def norm(i: int, o: int) -> int:  # W A^T, A A^T and B (A A^T)
        return 2 * o * i * r + 2 * r * i * r + 2 * o * r * r if method == "dora" else 0

    low = 2 * t * r * (i + o)
    assert cost.forward_flops == 2 * (2 * t * i * o + low) + norm(i, o) + norm(o, i)
    # First layer: g B and (g B)^T x for A, g^T (x A^T) for B. Second: also g W, and g B A on top.
    own = [2 * t * r * b + 2 * t * r * a + 2 * t * r * b for a, b in ((i, o), (o, i))]
    assert cost.backward_flops == sum(own) + 2 * t * i * o + 2 * t * r * o


def test_what_nobody_trains_is_a_forward_pass(tiny_vl_bart):
    cost = planned(Module(tiny_vl_bart().to("meta"), {}), BatchShape(4, 5, 3, 1, features=(4, 12)))
    assert (cost.gradients, cost.optimizer, cost.backward_flops) == (0, 0, 0)
    assert cost.phase == "forward" and cost.forward_flops > 0
