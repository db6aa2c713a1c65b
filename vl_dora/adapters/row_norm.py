"""Norms of the rows of W + s B A without forming that matrix.

||W + s B A||^2 = ||W||^2 + 2 s rowsum(B * (W A^T)) + s^2 rowsum((B (A A^T)) * B), per output row,
in float32 whatever the dtype of W: in bfloat16 a row norm is off by 1e-3.
Shapes: W (o, i), A (r, i), B (o, r); o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from vl_dora.adapters.numberless import numberless

# Rows whose squared norm falls under this share of its terms' sizes have cancelled (B A ~ -W):
# float32 would be wrong in the first digits there, so they are computed densely in float64.
CANCELLED = 1e-4
# On a GPU, where the number of such rows is not known without waiting, so many of the worst are looked at.
CANDIDATES = 256
# Rows of a half-precision W that are widened at a time.
CHUNK = 1024


def without_autocast(tensor: Tensor) -> AbstractContextManager:
    """A context in which products of `tensor` keep their dtype, also under autocast."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def row_squares(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Squared L2 norm of every row of `weight`, (o,), accumulated in `dtype`."""
    if numberless(weight):  # the norm's own meta kernel imports for many seconds
        return weight.new_empty(len(weight), dtype=dtype)
    return torch.linalg.vector_norm(weight.detach(), dim=1, dtype=dtype).square()


class FactoredNorm(NamedTuple):
    """The squared row norms of W + s B A and the two products that they were made of.

    Args:
        squares: n^2 (o,).
        products: U = W A^T (o, r).
        gram: G = A A^T (r, r).
    """

    squares: Tensor
    products: Tensor
    gram: Tensor


def factored_norm(weight: Tensor, squares: Tensor, a: Tensor, b: Tensor, scale: float) -> FactoredNorm:
    """Squared L2 norm of every row of W + s B A, differentiable in A and B.

    Args:
        weight: W (o, i), any floating dtype, a constant to the gradient.
        squares: `row_squares(weight)` (o,), in the dtype to compute in.
        a: A (r, i).
        b: B (o, r).
        scale: s.
    """
    dtype = squares.dtype
    weight, a, b = weight.detach(), a.to(dtype), b.to(dtype)
    with without_autocast(weight):
        if weight.dtype == dtype:
            products = weight @ a.T
        else:
            products = torch.cat([rows.to(dtype) @ a.T for rows in weight.split(CHUNK)])
        gram = a @ a.T
        cross = 2.0 * scale * (b * products).sum(dim=1)
        added = scale**2 * ((b @ gram) * b).sum(dim=1)
        total = squares + cross + added
        if not numberless(total):
            share = total / (squares + cross.abs() + added)
            lost = cancelled(share)
            if len(lost):
                dense = weight[lost].double() + scale * b[lost].double() @ a.double()
                exact = dense.square().sum(dim=1).to(dtype)
                # Among a fixed number of candidates most have not cancelled and keep their value.
                exact = torch.where(share[lost] < CANCELLED, exact, total[lost])
                total = total.index_copy(0, lost, exact)
    return FactoredNorm(total, products, gram)


def adapted_row_squares(weight: Tensor, squares: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """n^2 (o,) alone; see `factored_norm`."""
    return factored_norm(weight, squares, a, b, scale).squares


def cancelled(share: Tensor) -> Tensor:
    """Rows that may have cancelled: all of them, or on a GPU the worst `CANDIDATES`.

    How many there are is data, and to wait for that number would stall the GPU's queue.
    """
    if share.is_cuda:
        return share.detach().topk(min(CANDIDATES, len(share)), largest=False).indices
    return (share < CANCELLED).nonzero().squeeze(1)
