"""Norms of the output channels of a convolution's W + s B A, group by group; see `row_norm.py`.

Shapes: g = groups; W (o, i/g |k|), A (g, r/g, i/g |k|), B (g, o/g, r/g).
"""

from __future__ import annotations

import torch
from torch import Tensor

from vl_dora.adapters.numberless import numberless
from vl_dora.adapters.row_norm import CANCELLED, adapted_row_squares, cancelled, without_autocast


def patch_squares(weight: Tensor, squares: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """||W + s B A||^2 of every output channel, (o,), differentiable in A and B.

    Args:
        weight: W, one row for each output channel, a constant to the gradient.
        squares: ||W||^2 (o,), in the dtype to compute in.
        a: A.
        b: B.
        scale: s.
    """
    if len(a) == 1:
        return adapted_row_squares(weight, squares, a[0], b[0], scale)
    dtype = squares.dtype
    a, b = a.to(dtype), b.to(dtype)
    grouped = weight.detach().to(dtype).view(len(a), -1, weight.shape[1])
    with without_autocast(weight):
        cross = 2.0 * scale * (b * (grouped @ a.mT)).sum(dim=2).flatten()
        added = scale**2 * ((b @ (a @ a.mT)) * b).sum(dim=2).flatten()
        total = squares + cross + added
        if numberless(total):
            return total
        share = total / (squares + cross.abs() + added)
        lost = cancelled(share)
        if len(lost):
            rows_of_a = a.double()[lost // b.shape[1]]
            shift = (b.double().flatten(0, 1)[lost][:, None] @ rows_of_a).squeeze(1)
            dense = weight.detach()[lost].double() + scale * shift
            exact = dense.square().sum(dim=1).to(dtype)
            total = total.index_copy(0, lost, torch.where(share[lost] < CANCELLED, exact, total[lost]))
    return total
