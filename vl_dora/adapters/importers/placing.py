"""Puts what an importer found on a network: adapts it, accounts for every tensor, checks the base."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.apply import adaptation_of, apply_adapters
from vl_dora.adapters.audit import AdaptationAudit
from vl_dora.adapters.files import remove_adapters
from vl_dora.adapters.matching import shorten

# A frozen weight differs when it is off by more than this share of its norm: float16 rounding is 5e-4.
DRIFT = 1e-3


@dataclass(frozen=True)
class Foreign:
    """A foreign adapter in the words of this project.

    Args:
        source: where it was found, for messages.
        selection: part -> rule, see `apply_adapters`.
        trained: parameter of the adapted network -> its value; all that trains and nothing else.
        frozen: parameter of the plain network -> the value that the file has for it.
        rows: parameter -> (first row, rows from there on) of frozen tables that travel with the adapter.
    """

    source: Path
    selection: Mapping[str, Any]
    trained: Mapping[str, Tensor]
    frozen: Mapping[str, Tensor] = field(default_factory=dict)
    rows: Mapping[str, tuple[int, Tensor]] = field(default_factory=dict)


def place(network: nn.Module, foreign: Foreign, on_drift: str) -> AdaptationAudit:
    """Adapts a fresh network and fills it; when anything does not fit, the network is left as it was.

    Raises:
        ValueError: a name that the network lacks or the file lacks, another shape, or, with
            `on_drift="raise"`, a base that is not the one the adapter was trained on.
    """
    _check_frozen(network, foreign, on_drift)
    needs = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    apply_adapters(network, foreign.selection)
    try:
        _fill(network, foreign)
    except BaseException:
        remove_adapters(network, needs)
        raise
    return adaptation_of(network).audit


@torch.no_grad()
def _fill(network: nn.Module, foreign: Foreign) -> None:
    parameters = dict(network.named_parameters())
    slots = {name: parameters[name] for row in adaptation_of(network).audit.rows for name in row.names}
    missing = [name for name in slots if name not in foreign.trained]
    left = [name for name in foreign.trained if name not in slots]
    if missing or left:
        raise ValueError(
            f"{foreign.source} does not fit this {type(network).__name__}: "
            f"missing {shorten(missing)}; left over {shorten(left)}"
        )
    targets: list[tuple[str, Tensor, Tensor]] = [
        (name, slot, foreign.trained[name]) for name, slot in slots.items()
    ]
    targets += [(name, parameters[name][first:], rows) for name, (first, rows) in foreign.rows.items()]
    for name, slot, value in targets:
        if slot.shape != value.shape:
            raise ValueError(
                f"{foreign.source}: {name} has shape {tuple(value.shape)} there, "
                f"this network needs {tuple(slot.shape)}"
            )
    for _, slot, value in targets:
        slot.copy_(value)


def _check_frozen(network: nn.Module, foreign: Foreign, on_drift: str) -> None:
    here = dict(network.named_parameters(remove_duplicate=False)) | dict(network.named_buffers())
    unknown = [name for name in foreign.frozen if name not in here]
    if unknown:
        raise ValueError(
            f"{foreign.source} is of another network than this {type(network).__name__}: left over "
            f"{shorten(unknown)}"
        )
    worst, size = "", 0.0
    for name, value in foreign.frozen.items():
        base = here[name].detach()
        if name in foreign.rows:
            base = base[: foreign.rows[name][0]]
        if base.shape != value.shape:
            raise ValueError(
                f"{foreign.source}: {name} has shape {tuple(value.shape)} there, this network "
                f"{tuple(here[name].shape)}; it is of another base"
            )
        distance = float((base.float().cpu() - value.float()).norm() / value.float().norm().clamp_min(1e-12))
        if not distance <= size:  # also when it is NaN
            worst, size = name, distance
    if worst and not size <= DRIFT:
        message = (
            f"{foreign.source} was trained on another base: {worst} differs by {100 * size:.3g} % "
            f"of its norm; load that base first"
        )
        if on_drift == "raise":
            raise ValueError(f'{message}, or import with on_drift="warn" to put the adapter on this one')
        warnings.warn(message, UserWarning, stacklevel=4)
