"""One training step on shapes alone: forward, backward and AdamW's update, in the order of Lightning.

What is counted is the second step of a run, when the optimizer's state is there and the gradients of the step
before are still held during the forward pass. See `ledger.py` for what is counted, `shapes_only.py` for how.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from vl_dora.adapters import adapted_layers
from vl_dora.batch import Batch
from vl_dora.planning.gpu_kernels import GpuKernels
from vl_dora.planning.layer_places import watch
from vl_dora.planning.ledger import Ledger
from vl_dora.planning.operations import Operations
from vl_dora.planning.shapes_only import ShapesOnly
from vl_dora.planning.step_cost import Trace

# Lightning's words -> (dtype of autocast, dtype that the whole network is cast to).
PRECISIONS: dict[str, tuple[torch.dtype | None, torch.dtype | None]] = {
    "32": (None, None),
    "32-true": (None, None),
    "bf16-mixed": (torch.bfloat16, None),
    "16-mixed": (torch.float16, None),
    "bf16-true": (None, torch.bfloat16),
    "16-true": (None, torch.float16),
    "64": (None, torch.float64),
    "64-true": (None, torch.float64),
}
# Sizes to which torch's allocators round: on a CPU as asked for, in steps of 64 bytes; on a GPU 512.
GRANULARITY = {"cpu": 64, "cuda": 512}


def training_step(
    module: Any,
    make_batch: Callable[[ShapesOnly], Batch],
    *,
    device: str,
    precision: str,
    accumulates: bool,
    layers: Sequence[nn.Module] = (),
) -> Trace:
    """Runs a step of a Lightning module on the meta device, whose network is fake afterwards.

    Args:
        module: an `AdapterTuning`.
        make_batch: the batch, its large tensors fake.
        device: cpu or cuda: whose kernels are meant.
        precision: one of `PRECISIONS`.
        accumulates: a step takes several batches, so that gradients are there during the backward pass.
        layers: modules that run one after the other; each is a place of the trace (`layer_places.py`).
    """
    narrow, cast = PRECISIONS[precision]
    network = module.network
    if cast is not None:
        network.to(cast)
    shapes, ledger = ShapesOnly(), Ledger(GRANULARITY[device])
    forward, backward = Operations(), Operations()
    shapes.take(network)
    module.train()
    module.on_train_start()
    parameters = list(network.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    ledger.enter([*parameters, *network.buffers()], "weights")
    weights = ledger.total
    batch = make_batch(shapes)
    ledger.enter(_tensors(batch), "batch")
    handles = watch(layers, ledger)
    if not trained:
        return _forward_alone(network, batch, ledger, shapes, device, narrow)
    handles += [
        parameter.register_post_accumulate_grad_hook(lambda p: ledger.enter([p.grad], "gradients"))
        for parameter in trained
    ]
    with _planned(shapes, ledger, device):
        state = _earlier_step(trained, ledger)
        ledger.begin("forward")
        with forward, _autocast(narrow):
            ledger.kind = "activations"
            loss = network.loss(batch)
        activations = ledger.alive["activations"]
        if not accumulates:
            network.zero_grad()
        with backward:
            ledger.kind, ledger.place = "working", "backward"
            _backward(loss)
        del loss
    for handle in handles:
        handle.remove()
    sizes = [p.numel() * p.element_size() for p in trained]
    # Beside its state AdamW holds roots of second moments: on a GPU all of them at once, on a CPU two of one
    # tensor at a time (torch's `_multi_tensor_adam` and `_single_tensor_adam`).
    update = sum(sizes) if device == "cuda" else 2 * max(sizes)
    moments = {place: moment.kinds for place, moment in ledger.highest.items()}
    moments["optimizer"] = _with(ledger.now.kinds, "working", update)
    extra = _copies(network) if device == "cpu" else 0
    totals = {
        "weights": weights,
        "gradients": sum(sizes),
        "optimizer": sum(p.numel() * p.element_size() for p in state),
        "batch": ledger.alive["batch"],
        "activations": activations + extra,
        "forward_flops": forward.count,
        "backward_flops": backward.count,
    }
    return Trace(totals, {place: _with(kinds, "activations", extra) for place, kinds in moments.items()})


def _with(kinds: Mapping[str, int], kind: str, size: int) -> dict[str, int]:
    return {**kinds, kind: kinds.get(kind, 0) + size}


def _backward(loss: torch.Tensor) -> None:
    """`loss.backward()`, which would turn `GpuKernels` off while checkpoints are computed again."""
    start = (torch.ones_like(loss),)
    settings = {"allow_unreachable": True, "accumulate_grad": True}
    torch.autograd.graph._engine_run_backward((loss,), start, False, False, (), **settings)


def _earlier_step(trained: list[nn.Parameter], ledger: Ledger) -> list[torch.Tensor]:
    """Gradients and AdamW's state (two moments and a count a parameter), as the step before leaves them."""
    ledger.kind = "gradients"
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    state = [torch.zeros_like(p, requires_grad=False) for p in trained for _ in range(2)]
    ledger.enter(state, "optimizer")
    return state


def _forward_alone(
    network: Any, batch: Batch, ledger: Ledger, shapes: ShapesOnly, device: str, narrow: Any
) -> Trace:
    """Where nothing trains, a forward pass without gradient is all there is."""
    forward = Operations()
    network.eval()
    with _planned(shapes, ledger, device), forward, _autocast(narrow), torch.no_grad():
        ledger.begin("forward")
        ledger.kind = "activations"
        network.loss(batch)
    totals = dict.fromkeys(("gradients", "optimizer", "activations", "backward_flops"), 0)
    totals |= {"weights": ledger.alive["weights"], "batch": ledger.alive["batch"]}
    # Nothing is kept for a backward pass.
    words = {"activations": "working"}
    moments = {
        place: {words.get(kind, kind): size for kind, size in moment.kinds.items()}
        for place, moment in ledger.highest.items()
    }
    return Trace({**totals, "forward_flops": forward.count}, moments)


@contextmanager
def _planned(shapes: ShapesOnly, ledger: Ledger, device: str) -> Iterator[None]:
    with warnings.catch_warnings(), ExitStack() as stack:
        # Layers tell a replaced weight by its address, which a fake one has not; torch says so once.
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        stack.enter_context(GpuKernels() if device == "cuda" else nullcontext())
        stack.enter_context(shapes)
        stack.enter_context(ledger)
        yield


def _autocast(narrow: torch.dtype | None) -> Any:
    return nullcontext() if narrow is None else torch.autocast("cpu", dtype=narrow)


def _tensors(batch: Batch) -> list[torch.Tensor]:
    return [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]


def _copies(network: nn.Module) -> int:
    """Bytes of the copies by which layers with a norm see on a CPU if A and B moved (`step_cache.py`)."""
    layers = [layer for layer in adapted_layers(network).values() if layer.method in ("dora", "dvora")]
    own = [p for layer in layers for p in layer.parameters(recurse=False)]
    return sum(p.numel() * p.element_size() for p in own)
