"""Folds every adapter of a network into its base weights, and takes it out again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from vl_dora.adapters.apply import adapted_layers
from vl_dora.adapters.layer import AdaptedLayer


def merge(network: nn.Module) -> None:
    """Folds every adapter into its base weight, computed in float32; runs at the plain layer's cost.

    The original weights are kept aside, so `unmerge` restores them bit for bit. A merged network
    refuses to train.

    Raises:
        ValueError: the network has no adapters, or is merged already.
    """
    for layer in _layers(network, merged=False):
        layer.merge()


def unmerge(network: nn.Module) -> None:
    """Puts back the base weights that `merge` kept aside.

    Raises:
        ValueError: the network has no adapters, or is not merged.
    """
    for layer in _layers(network, merged=True):
        layer.unmerge()


@contextmanager
def merged(network: nn.Module) -> Iterator[nn.Module]:
    """Merges for the time of a `with` block, whatever happens inside."""
    merge(network)
    try:
        yield network
    finally:
        unmerge(network)


def _layers(network: nn.Module, *, merged: bool) -> list[AdaptedLayer]:
    layers = adapted_layers(network)
    if not layers:
        raise ValueError(f"this {type(network).__name__} has no adapted layers to merge or unmerge")
    wrong = [path for path, layer in layers.items() if layer.merged != merged]
    if wrong:
        state = "not merged; merge it first" if merged else "already merged; unmerge it first"
        raise ValueError(f"{wrong[0]} is {state}")
    return list(layers.values())
