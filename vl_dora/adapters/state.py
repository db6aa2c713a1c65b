"""The tensors that train, by name: what a checkpoint of an adapted network holds."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vl_dora.adapters.apply import adaptation_of, adapted_layers
from vl_dora.adapters.matching import shorten
from vl_dora.adapters.residual import put_starts_back, starts_of


def trainable_state(network: nn.Module) -> dict[str, Tensor]:
    """Name -> copy of every tensor that changes in training.

    Parameters that a rule trains, the buffers (running means) of fully trained modules, and the factors
    that pissa layers started from, which say what their frozen weights are.

    Raises:
        ValueError: the network was not adapted.
    """
    return {name: tensor.detach().clone() for name, tensor in _changing(network).items()}


@torch.no_grad()
def load_trainable_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Puts the values of `trainable_state` back; nothing changes when anything does not fit.

    Raises:
        ValueError: names are missing or left over, a shape differs, the network was not adapted, or it is
            merged and has pissa layers.
    """
    slots = _changing(network)
    missing, left = [n for n in slots if n not in state], [n for n in state if n not in slots]
    if missing or left:
        raise ValueError(
            f"the checkpoint is of another network or adapter selection: "
            f"missing {shorten(missing)}; left over {shorten(left)}"
        )
    for name, slot in slots.items():
        if slot.shape != state[name].shape:
            raise ValueError(
                f"the checkpoint has {name} of shape {tuple(state[name].shape)}, "
                f"the network needs {tuple(slot.shape)}"
            )
    layers = adapted_layers(network)
    put_starts_back(layers, state)
    starts = starts_of(layers)
    for name, slot in slots.items():
        if name not in starts:
            slot.copy_(state[name])


def _changing(network: nn.Module) -> dict[str, Tensor]:
    rows = adaptation_of(network).audit.rows
    # First: FSDP puts every process's shares in the place of gathered weights when a state dict is asked for.
    saved = network.state_dict(keep_vars=True)
    parameters = dict(network.named_parameters())
    found: dict[str, Tensor] = {name: parameters[name] for row in rows for name in row.names}
    owners = {name.rpartition(".")[0] for row in rows if row.method == "full" for name in row.names}
    found.update(starts_of(adapted_layers(network)))
    for name, buffer in network.named_buffers():
        if name.rpartition(".")[0] in owners and name in saved:
            found[name] = buffer
    return found
