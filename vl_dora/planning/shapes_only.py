"""Running a network without its numbers: fake tensors for the large ones, real ones where it must decide.

Weights, states and gradients are fake (shape, dtype and device, no numbers: `torch._subclasses.FakeTensor`),
so a network of any size runs forward and backward in seconds. Tokens and masks are real, because networks
look at them: how many visual places there are, which words are supervised. What is of both is fake.

What would be known only from numbers that are not there counts as nothing: no row of a norm has cancelled, no
number is found by `nonzero`, and what is compared with an earlier copy of itself has not changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_INDEXED = (
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index_put.default,
)


class _Fakes(FakeTensorMode):
    """Torch's own looks for a GPU's driver whenever it is entered; all that is fake here is on a CPU."""

    avoid_device_init = True


class ShapesOnly(TorchDispatchMode):
    """Inside of it fake and real tensors may meet."""

    def __init__(self) -> None:
        super().__init__()
        self._fakes = _Fakes(allow_non_fake_inputs=True)

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A fake tensor."""
        with self._fakes:
            return torch.empty(*shape, dtype=dtype, device="cpu")

    def take(self, network: nn.Module) -> None:
        """Makes the parameters and buffers of a network on the meta device fake; shared ones stay shared."""
        made: dict[int, Tensor] = {}

        def fake(tensor: Tensor) -> Tensor:
            if id(tensor) not in made:
                with self._fakes:
                    empty = torch.empty_strided(
                        tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu"
                    )
                if isinstance(tensor, nn.Parameter):
                    replaced: Tensor = nn.Parameter(empty, requires_grad=tensor.requires_grad)
                    for name, value in vars(tensor).items():
                        setattr(replaced, name, value)
                else:
                    replaced = empty
                made[id(tensor)] = replaced
            return made[id(tensor)]

        for module in network.modules():
            for held in (module._parameters, module._buffers):
                for name, tensor in held.items():
                    if tensor is not None and tensor.is_meta:
                        held[name] = fake(tensor)  # type: ignore[assignment]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not any(map(_holds_fake, args)) and not any(map(_holds_fake, kwargs.values())):
            return func(*args, **kwargs)
        if func is aten.equal.default:
            return True
        if func is aten.nonzero.default:
            return torch.empty((0, args[0].ndim), dtype=torch.int64)
        if func is aten._local_scalar_dense.default:
            return False if args[0].dtype is torch.bool else 0
        if _writes_to_real(func, args):
            return args[0]
        if func in _INDEXED:
            args = (args[0], _counted(args[1]), *args[2:])
        if func is aten.masked_scatter_backward.default:
            return args[0].new_empty(args[2])
        args, kwargs = (*map(self._fake, args),), {name: self._fake(value) for name, value in kwargs.items()}
        # What `func(*args, **kwargs)` would come to after a search for the mode of its tensors.
        return self._fakes.dispatch(func, (FakeTensor,), args, kwargs)

    def _fake(self, leaf: Any) -> Any:
        if isinstance(leaf, list | tuple):
            return [self._fake(one) for one in leaf]
        if not isinstance(leaf, Tensor) or isinstance(leaf, FakeTensor):
            return leaf
        with self._fakes:
            return torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device="cpu")


def _holds_fake(argument: Any) -> bool:
    if isinstance(argument, list | tuple):
        return any(map(_holds_fake, argument))
    return isinstance(argument, FakeTensor)


def _counted(indices: Any) -> list[Any]:
    """Real masks among indices as the places that they choose, whose number is the shape of the result."""
    found: list[Any] = []
    for index in indices:
        mask = isinstance(index, Tensor) and not isinstance(index, FakeTensor) and index.dtype is torch.bool
        found += index.nonzero().unbind(1) if mask else [index]
    return found


def _writes_to_real(func: Any, args: tuple) -> bool:
    """Whether a real tensor would be changed by fake numbers; it stays as it is."""
    schema = func._schema
    first = schema.arguments[0] if schema.arguments else None
    writes = first is not None and first.alias_info is not None and first.alias_info.is_write
    return writes and isinstance(args[0], Tensor) and not isinstance(args[0], FakeTensor)
