"""Weights spread over processes (FSDP2), and put together again where a network must be whole.

Each process holds its share of every parameter's rows as a DTensor. Inside the network's own methods torch
gathers one block at a time, and adapted layers meet plain tensors there; whoever reads weights outside of
them (merging, checks, files) gathers all first. What is written into gathered weights is lost with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from vl_dora.adapters import adaptation_of, adapted_layers

# The methods of a network that compute with its weights.
COMPUTING = ("loss", "logits", "generate")


def check_spreadable(network: Any) -> None:
    """Stops on an adapted network that `shard` cannot spread.

    Raises:
        ValueError: it has no blocks, or weights in 4 or 8 bits.
    """
    if not getattr(network, "blocks", ()):
        raise ValueError(
            f"trainer=fsdp2 cannot spread a {type(network).__name__}, which names no blocks; "
            f"use trainer=default trainer.strategy=ddp"
        )
    if any(row.quantization for row in adaptation_of(network).audit.rows):
        raise ValueError(
            "trainer=fsdp2 cannot spread weights held in 4 or 8 bits; set quantization=null in the adapter's "
            "rules, or use trainer=default trainer.strategy=ddp"
        )


def shard(network: Any, mesh: DeviceMesh) -> None:
    """Spreads all parameters of an adapted network over the processes of a mesh, what is frozen too.

    Args:
        network: names in `blocks` the modules that are gathered one at a time; all else is gathered for the
            whole of a step.
        mesh: of one dimension.

    Raises:
        ValueError: as `check_spreadable`.
    """
    check_spreadable(network)
    for path in network.blocks:
        fully_shard(network.get_submodule(path), mesh=mesh, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, reshard_after_forward=False)
    for method in COMPUTING:
        register_fsdp_forward_method(network, method)


def is_sharded(network: Any) -> bool:
    """Whether `shard` has spread this network."""
    return isinstance(network, FSDPModule)


def gather(network: Any) -> None:
    """Lets every process hold all weights, until `release`; nothing where they are not spread.

    All processes must call it. State dicts, whose hooks would release single modules, are not to be taken.
    """
    for module in _groups(network):
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()


def release(network: Any) -> None:
    """Lets every process keep its share alone again; nothing where weights are not spread."""
    for module in _groups(network):
        module.reshard()
        # What is no block was never released within a step.
        module.set_reshard_after_forward(module is not network, recurse=False)


@contextmanager
def whole(network: Any) -> Iterator[None]:
    """Gathers for the time of a `with` block, whatever happens inside; see `gather`."""
    gather(network)
    try:
        yield
    finally:
        release(network)


def put_together(state: Any) -> Any:
    """Nested dicts and lists, every spread tensor whole on the CPU of the first process, empty in the others.

    All processes must call it.
    """
    if isinstance(state, DTensor):
        whole_tensor = state.full_tensor()
        return whole_tensor.cpu() if distributed.get_rank() == 0 else whole_tensor.new_empty(0)
    if isinstance(state, dict):
        return {key: put_together(value) for key, value in state.items()}
    return [put_together(value) for value in state] if isinstance(state, list) else state


@torch.no_grad()
def spread_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's share of a whole tensor, cut as `parameter` is; the tensor where that is whole."""
    if not isinstance(parameter, DTensor):
        return tensor
    tensor = tensor.to(parameter.device)
    # Every process has read the same file, so that none needs to send.
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)


def forget_norms(network: nn.Module) -> None:
    """Lets adapted layers compute their norms anew: on a GPU they cannot see that shares were written to."""
    for layer in adapted_layers(network).values():
        refresh = getattr(layer, "refresh", None)  # of layers without a norm there is none
        if callable(refresh):
            refresh()


def _groups(network: Any) -> list[FSDPModule]:
    return [module for module in network.modules() if isinstance(module, FSDPModule)]
