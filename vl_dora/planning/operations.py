"""Floating-point operations as torch counts them: matrix products, attention, convolutions, by their shapes.

A multiplication and an addition are two. The formulas are those of `torch.utils.flop_counter`, looked up
operator by operator; its own mode looks for a GPU's compiler at every call and is many times slower. Adapted
layers do their arithmetic in such operators too, forward and backward, and are counted with the rest.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Operations(TorchDispatchMode):
    """Counts what runs inside of it.

    Attributes:
        count: floating-point operations so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # asked more often than anything is computed
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula = _formula(func._overloadpacket)
        if formula is not None:
            self.count += formula(*args, **kwargs, out_val=out)
        return out


@cache
def _formula(operator: Any) -> Any:
    """Torch's formula of an operator; its table lacks those that write in place, which cost the same."""
    plain = getattr(torch.ops.aten, operator.__name__.removesuffix("_"), operator)
    return flop_registry.get(operator) or flop_registry.get(plain)
