"""By what numbers a base is known again: random projections of weights that an adapter leaves as they are.

For a weight W (o, i) and K pairs of vectors of random signs u, v the numbers u' W v have mean square |W|^2
over the pairs, and those of W and of another weight differ by |W - W'| on the same scale: their relative
distance estimates that of the weights, whatever these are. K numbers of a few layers tell two bases apart
that differ by a hundredth, and let the rounding of bfloat16 (a thousandth) pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.quantization import quantization_of
from vl_dora.adapters.residual import has_residual

LAYERS, PAIRS = 8, 32
# Relative distance from which on two bases count as two.
DRIFT = 5e-3


def fingerprint(layers: Mapping[str, AdaptedLayer]) -> dict[str, list[float]]:
    """Path -> numbers of up to `LAYERS` of the layers, evenly spread.

    Args:
        layers: path -> adapted layer, not merged. Those whose base is held in 4 or 8 bits or in parts, or has
            given a part of itself to its adapter, are passed over.
    """
    plain = [path for path, layer in layers.items() if _is_plain(layer)]
    count = min(LAYERS, len(plain))
    chosen = [plain[number * len(plain) // count] for number in range(count)]
    return {path: _numbers(layers[path].base.weight).tolist() for path in chosen}


def distance(layers: Mapping[str, AdaptedLayer], told: Mapping[str, list[float]]) -> tuple[str, float]:
    """The layer that differs most from what a fingerprint tells, and by which share of its norm.

    Layers that are not there, or not plain here, are passed over; ("", 0.0) where none is left.
    """
    worst, most = "", 0.0
    for path, numbers in told.items():
        layer = layers.get(path)
        if layer is None or not _is_plain(layer):
            continue
        there = torch.tensor(numbers, dtype=torch.float64)
        here = _numbers(layer.base.weight).to("cpu", torch.float64)
        share = float((here - there).norm() / there.norm().clamp_min(1e-30))
        if not share <= most:  # also when it is NaN
            worst, most = path, share
    return worst, most


def _is_plain(layer: AdaptedLayer) -> bool:
    weight = layer.base.weight
    # A weight that is spread over processes (a DTensor) is whole in none of them.
    whole = not weight.is_meta and not hasattr(weight, "full_tensor")
    return whole and quantization_of(layer.base) is None and not has_residual(layer)


@torch.no_grad()
def _numbers(weight: Tensor) -> Tensor:
    """(K,) float32."""
    matrix = weight.detach().flatten(1).float()
    generator = torch.Generator().manual_seed(0)
    left, right = (
        (2 * torch.randint(0, 2, (PAIRS, size), generator=generator) - 1).to(matrix) for size in matrix.shape
    )
    return ((left @ matrix) * right).sum(1)
