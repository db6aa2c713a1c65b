"""How `benchmark_adapters.py` measures: paired times, tensors kept for the backward, transient memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# A ratio whose middle half of the runs spreads further than this gets no verdict.
WIDEST_SPREAD = 0.15


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time of one run: CPU time of this thread, or on a GPU the time between two device events."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3
    begin = time.thread_time()
    run()
    return time.thread_time() - begin


def paired(
    runs: dict[str, Callable[[], object]], rounds: int, device: torch.device, warm_up: int = 1
) -> dict[str, list[float]]:
    """Seconds of every contender in every round, A B C A B C, each round starting with another one."""
    names = list(runs)
    for name in names * warm_up:
        runs[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            times[name].append(seconds(runs[name], device))
    return times


def ratio(over: Sequence[float], under: Sequence[float]) -> tuple[float, float]:
    """Median of the paired quotients, and the spread of their middle half as a share of it."""
    quotients = sorted(a / b for a, b in zip(over, under, strict=True))
    middle = statistics.median(quotients)
    if len(quotients) < 2:
        return middle, float("inf")
    low, _, high = statistics.quantiles(quotients, n=4, method="inclusive")
    return middle, (high - low) / middle


def mixed(new: Sequence[float], kept: Sequence[float], period: int) -> list[float]:
    """Seconds per micro-batch where one in `period` computes a norm and the others keep it."""
    return [(a + (period - 1) * b) / period for a, b in zip(new, kept, strict=True)]


def kept_for_backward(forward: Callable[[], Tensor], apart: Sequence[Tensor], x: Tensor) -> dict[str, int]:
    """Bytes that the backward of one micro-batch keeps.

    `kept_bytes`: of all storages but those of parameters; `kept_beyond_input_and_output_bytes`: without
    the input and the layer's own output; `held_bytes`: what two micro-batches share, because the layer
    holds it for the whole optimizer step (a norm, a merged weight), and which is in neither.

    Args:
        forward: one forward pass.
        apart: parameters, which exist anyway.
        x: the input.
    """
    passes: list[dict[int, int]] = [{}, {}]
    outputs = []
    for storages in passes:

        def pack(tensor: Tensor, storages: dict[int, int] = storages) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            outputs.append(forward())
    first, second = passes
    for tensor in apart:
        first.pop(tensor.untyped_storage().data_ptr(), None)
    size_of_x = first.pop(x.untyped_storage().data_ptr(), 0)
    held = [first.pop(key) for key in list(first) if key in second]
    size_of_y = first.pop(outputs[0].untyped_storage().data_ptr(), 0)
    beyond = sum(first.values())
    return {
        "kept_bytes": beyond + size_of_x + size_of_y,
        "kept_beyond_input_and_output_bytes": beyond,
        "held_bytes": sum(held),
    }


def peak_transient(run: Callable[[], object], device: torch.device) -> int:
    """The most bytes that a run holds at one time beyond what was there before it.

    On a CPU from the allocator's own record of every allocation and release, which the profiler
    keeps; so what kernels allocate inside counts too. On a GPU from the allocator's peak.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as prof:
        run()
    assert prof.profiler is not None and prof.profiler.kineto_results is not None
    changes = [
        (event.start_ns(), event.nbytes())
        for event in prof.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    held = peak = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        held += change
        peak = max(peak, held)
    return peak


def relative(found: Tensor, expected: Tensor) -> float:
    """||found - expected|| / ||expected||."""
    return float((found.double() - expected).norm() / expected.norm())
