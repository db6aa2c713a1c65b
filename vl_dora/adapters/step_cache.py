"""Values that follow from slowly moving tensors, computed once per optimizer step and never stale.

The norm of W + s B A costs as much as r tokens through the layer. A and B move once per optimizer
step, so the norm is kept over micro-batches, evaluation and the recomputation of activation checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from vl_dora.adapters.numberless import numberless

Value = TypeVar("Value")


class StepCache(Generic[Value]):
    """Keeps one value for as long as the tensors it was made of hold the same numbers.

    On a CPU that is decided exactly: copies of the tensors are compared at every use, so no way of
    writing them (foreach and fused optimizers, `.data`, a memory view) goes unseen. The price is a
    copy of each tensor and one pass over it.

    Elsewhere a comparison would make the host wait for the device. There a value is kept while no
    tensor was replaced or written in place and no optimizer stepped, by version counters and torch's
    hook on every optimizer. Not seen there: `tensor.data.copy_(...)` outside an optimizer; call
    `clear()` after such a write.
    """

    def __init__(self) -> None:
        self._value: Value | None = None
        self._constant: object = None
        self._copies: tuple[Tensor, ...] = ()
        self._stamp: tuple[object, ...] = ()

    def get(self, tensors: Sequence[Tensor], constant: object, make: Callable[[], Value]) -> Value:
        """The value of `make()`, computed again when what it was made of has changed.

        Args:
            tensors: what moves.
            constant: an object that is replaced by another when anything else has changed.
            make: computes the value, without gradient and outside inference mode.
        """
        value = self._value
        if value is not None and self._constant is constant and self._unchanged(tensors):
            return value
        self.clear()  # first, so that the old and the new value need not fit side by side
        # What was made in inference mode could not be used in training later.
        with torch.inference_mode(False), torch.no_grad():
            value = make()
            self._copies = tuple(t.detach().clone() for t in tensors if _compared(t))
        self._stamp = _stamp(tensors)
        self._constant, self._value = constant, value
        return value

    def clear(self) -> None:
        """Forgets the value: the next use computes it."""
        self._value, self._constant, self._copies, self._stamp = None, None, (), ()

    def _unchanged(self, tensors: Sequence[Tensor]) -> bool:
        if all(map(_compared, tensors)):
            return len(self._copies) == len(tensors) and all(map(_same_bits, self._copies, tensors))
        return self._stamp == _stamp(tensors)


def _compared(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not numberless(tensor)


def _same_bits(kept: Tensor, tensor: Tensor) -> bool:
    if kept.dtype != tensor.dtype or kept.shape != tensor.shape:
        return False
    # As integers: that is what is meant where there are NaNs, and it is the faster comparison.
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[kept.element_size()]
    return torch.equal(kept.view(whole), tensor.detach().view(whole))


def _stamp(tensors: Sequence[Tensor]) -> tuple[object, ...]:
    if all(map(_compared, tensors)):
        return ()
    return (_optimizer_steps(), *(_state(tensor) for tensor in tensors))


def _state(tensor: Tensor) -> tuple[object, ...]:
    version = None if tensor.is_inference() else tensor._version
    return tensor.data_ptr(), version, tensor.dtype, tensor.device


_steps = 0
_counting = False


def _optimizer_steps() -> int:
    """How many steps all optimizers of this process have made since the first question."""
    global _counting
    if not _counting:
        register_optimizer_step_post_hook(_count_step)
        _counting = True
    return _steps


def _count_step(*_: object) -> None:
    global _steps
    _steps += 1
