"""Tensors that have a shape and no numbers: on the meta device, or fake ones, by which a run is planned."""

from __future__ import annotations

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


def numberless(tensor: Tensor) -> bool:
    """Whether there is nothing to compare, sum or search in this tensor."""
    return tensor.is_meta or isinstance(tensor, FakeTensor)
