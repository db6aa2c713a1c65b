"""Layers that start from a part of their weight (pissa), outside training: files, checkpoints, loading.

The base of such a layer holds the residual R = W - s B0 A0 and the layer computes R + s B A. Whoever has W
needs both pairs to compute the same: s (B A - B0 A0) is a product of rank 2 r,

    [B, -B0] (o, 2r) times [A; A0] (2r, i),

and so it stands in adapter files, which plain PEFT puts on the original base, LoRA and DoRA alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.entry import Entry
from vl_dora.adapters.initialization import move_residual

STARTS = ("_start_a", "_start_b")
LOW_RANK_A, LOW_RANK_B = ".lora_A.weight", ".lora_B.weight"


def has_residual(layer: Any) -> bool:
    """Whether the base of this layer holds a residual instead of its weight."""
    return STARTS[0] in layer._buffers


def entries_on_the_original(layer: Any, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The file entries of a layer, its factors in the form that fits the original base.

    Args:
        layer: any low-rank layer of an nn.Linear; without a residual its entries stay as they are.
        entries: ending -> entry, A (r, i) and B (o, r) among them.
    """
    if not has_residual(layer):
        return dict(entries)
    (rank, columns), rows = layer.lora_a.shape, len(layer.lora_b)
    read: dict[str, Tensor] = {}

    @torch.no_grad()
    def take(ending: str, tensor: Tensor) -> None:
        # Only with both factors at hand is it known what the base has to give.
        read[ending] = tensor
        if len(read) == 2:
            (a, start_a), (b, start_b) = read[LOW_RANK_A].split(rank), read[LOW_RANK_B].split(rank, dim=1)
            move_residual(layer, start_a, -start_b)
            layer.lora_a.copy_(a)
            layer.lora_b.copy_(b)

    stacked = {
        LOW_RANK_A: Entry(
            (2 * rank, columns),
            lambda: torch.cat([layer.lora_a, layer._start_a]),
            lambda tensor: take(LOW_RANK_A, tensor),
        ),
        LOW_RANK_B: Entry(
            (rows, 2 * rank),
            lambda: torch.cat([layer.lora_b, -layer._start_b], dim=1),
            lambda tensor: take(LOW_RANK_B, tensor),
        ),
    }
    return {ending: stacked.get(ending, entry) for ending, entry in entries.items()}


def starts_of(layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Name -> A0 and B0 of every layer with a residual: what a checkpoint needs beside A and B.

    The principal part of a weight is not reproducible to the last bit from one machine to another.

    Args:
        layers: path -> adapted layer.
    """
    return {
        f"{path}.{name}": layer.get_buffer(name)
        for path, layer in layers.items()
        if has_residual(layer)
        for name in STARTS
    }


def put_starts_back(layers: Mapping[str, nn.Module], state: Mapping[str, Tensor]) -> None:
    """Makes every base the residual that it was when `starts_of` was taken.

    Args:
        layers: path -> adapted layer.
        state: the tensors of `starts_of`, among others.

    Raises:
        ValueError: a layer is merged.
    """
    for path, layer in layers.items():
        if has_residual(layer):
            a, b = (state[f"{path}.{name}"] for name in STARTS)
            move_residual(layer, a, b)
