"""How far a weight has moved in magnitude and in direction (arXiv:2402.09353, section 3.2).

A row n of a weight W (o, i) has a magnitude, the norm |W_n| over its inputs, and a direction, W_n / |W_n|:
the decomposition that DoRA trains. Between a base W0 and a tuned W the paper measures

    dM = mean over n of | |W_n| - |W0_n| |        dD = mean over n of 1 - cos(W_n, W0_n)

(The paper writes W as (inputs, outputs) and speaks of columns.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """Change of one weight.

    Args:
        magnitude: dM, in units of the weight.
        direction: dD, 0 to 2.
        rows: output rows that have a direction before and after; rows of zeros have none.
    """

    magnitude: float
    direction: float
    rows: int


def change_of(base: Tensor, tuned: Tensor) -> Change:
    """dM over all rows and dD over the rows that are not zero, in float64.

    Args:
        base: (o, i), or (o, ...) of a convolution.
        tuned: the same shape.

    Raises:
        ValueError: the shapes differ, or no row has a direction.
    """
    if base.shape != tuned.shape:
        raise ValueError(f"a weight of {tuple(base.shape)} cannot have become one of {tuple(tuned.shape)}")
    first, second = (w.detach().double().flatten(1) for w in (base, tuned))
    before, after = first.norm(dim=1), second.norm(dim=1)
    there = (before > 0) & (after > 0)
    if not bool(there.any()):
        raise ValueError("a weight whose rows are all zero has no direction")
    # 1 - cos = |u - v|^2 / 2 of the unit vectors: exact where the angle is small, as it is after fine-tuning.
    units = first[there] / before[there, None] - second[there] / after[there, None]
    return Change(
        magnitude=float((after - before).abs().mean()),
        direction=float(units.square().sum(dim=1).mean() / 2),
        rows=int(there.sum()),
    )


def tuned_weight(layer: torch.nn.Module) -> Tensor:
    """The weight that a layer computes with: of an adapted one, the one it would be merged to."""
    merged = getattr(layer, "merged_weight", None)
    if merged is None:
        return layer.weight  # type: ignore[return-value]
    with torch.no_grad():
        return merged()
