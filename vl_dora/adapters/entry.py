"""One key of an adapter file: how its tensor is made, and where a read one goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Entry:
    """A tensor of an adapter file, seen from the network.

    Args:
        shape: of the tensor in the file.
        value: makes the tensor to write.
        assign: takes a read tensor of that shape; None for a filler that only PEFT reads.
        check: raises a ValueError for a tensor of that shape that has no place here; None: all have.
    """

    shape: tuple[int, ...]
    value: Callable[[], Tensor]
    assign: Callable[[Tensor], object] | None
    check: Callable[[Tensor], object] | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> Entry:
        """The entry of a tensor of the network that is written as it is, and read back in place."""

        @torch.no_grad()
        def assign(read: Tensor) -> None:
            tensor.copy_(read)

        return cls(tuple(tensor.shape), lambda: tensor, assign)

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Entry:
        """A filler of zeros, which only PEFT reads."""
        return cls(shape, lambda: torch.zeros(shape), None)

    def to_write(self) -> Tensor:
        """A copy on the CPU, for a file."""
        return self.value().detach().to("cpu", copy=True).contiguous()
