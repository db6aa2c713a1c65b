"""The projector of LLaVA's own code, trained whole beside an adapter: `….mm_projector.{0,2}.…`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vl_dora.adapters.importers.fork_names import module_here
from vl_dora.adapters.importers.stored import Stored
from vl_dora.adapters.matching import shorten

PROJECTOR = ".mm_projector."


def projector_of(network: nn.Module, stored: Stored, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameter of the network -> value, of the tensors that are the projector's.

    Raises:
        ValueError: the network's projector has no such parameter.
    """
    found = {}
    for key, tensor in tensors.items():
        if PROJECTOR in key:
            owner, _, leaf = key.rpartition(".")
            found[f"{module_here(network, owner)}.{leaf}"] = tensor
    known = dict(network.named_parameters())
    strange = [name for name in found if name not in known]
    if strange:
        raise ValueError(
            f"{stored.source} is of another network: its projector holds {shorten(strange)}, "
            f"which this {type(network).__name__} lacks"
        )
    return found
