"""Where the factors A and B of a low-rank layer start, and the scale of their product.

kaiming   A ~ U(-1/sqrt(i), 1/sqrt(i)), B = 0                  Hu et al. 2021, arXiv:2106.09685
gaussian  A ~ N(0, (1/r)^2), B = 0                             the deviation 1/r is PEFT's
pissa     A, B = the principal singular triples of W           Meng et al. 2024, arXiv:2404.02948
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.row_norm import without_autocast

INITS = ("kaiming", "gaussian", "pissa")
_deferred: ContextVar[bool] = ContextVar("deferred", default=False)


def low_rank_scale(rank: int, alpha: float, rslora: bool) -> float:
    """s = alpha / r, or alpha / sqrt(r): rsLoRA, Kalajdzievski 2023, arXiv:2312.03732."""
    return alpha / math.sqrt(rank) if rslora else alpha / rank


@torch.no_grad()
def start_factors(layer: Any) -> None:
    """Fills `lora_a` (r, i) and `lora_b` (o, r) of a layer as its attribute `init` says.

    With kaiming and gaussian B = 0, so that the layer computes its base bit for bit. With pissa
    s B A is the best rank-r approximation of W and the base keeps the residual W - s B A in its
    own dtype: the layer computes its base up to one rounding of the weight in that dtype. The
    factors at the start are kept as buffers (`_start_a`, `_start_b`), so W stays known.

    Args:
        layer: a low-rank layer whose factors are made but not filled.
    """
    a, b = layer.lora_a, layer.lora_b
    nn.init.zeros_(b)
    if layer.init != "pissa":
        fill_first_factor(a, layer.init, layer.rank)
    else:
        nn.init.zeros_(a)
        layer.register_buffer("_start_a", torch.zeros_like(a), persistent=False)
        layer.register_buffer("_start_b", torch.zeros_like(b), persistent=False)
        if not _deferred.get():
            start_principal(layer)


@torch.no_grad()
def start_principal(layer: Any) -> None:
    """Gives a pissa layer its starting factors, and its base the residual; other layers have theirs already.

    Args:
        layer: a low-rank layer; on the meta device, or with scale 0, it stays as it is.
    """
    if getattr(layer, "init", None) != "pissa" or layer.lora_a.is_meta or layer.scale == 0:
        return
    a = layer.lora_a
    up, down = principal_factors(layer.base.weight.detach().to(a.dtype), layer.rank, layer.scale)
    a.copy_(down)
    layer.lora_b.copy_(up)
    move_residual(layer, down, up)


@contextmanager
def deferred_start() -> Iterator[None]:
    """Layers made inside leave `start_principal` to whoever makes them: their bases are not touched yet."""
    token = _deferred.set(True)
    try:
        yield
    finally:
        _deferred.reset(token)


def fill_first_factor(a: Tensor, init: str, rank: int) -> None:
    """Fills A (r, i), or (r, i, *k) of a convolution, with kaiming's or gaussian's random numbers."""
    if init == "gaussian":
        nn.init.normal_(a, std=1 / rank)
    else:
        nn.init.kaiming_uniform_(a, a=math.sqrt(5))


def principal_factors(weight: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """B (o, r) and A (r, i) with s B A = the best rank-r approximation of `weight` (o, i)."""
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    root = (values[:rank] / scale).sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


@torch.no_grad()
def move_residual(layer: Any, start_a: Tensor, start_b: Tensor) -> None:
    """Makes the base weight of a pissa layer the residual of other starting factors.

    W - s B0 A0 becomes W - s B0' A0', the sums taken in at least float32; nothing is touched when
    the factors are those that it has already.

    Args:
        layer: a layer with `init` pissa.
        start_a: A0' (r, i).
        start_b: B0' (o, r).

    Raises:
        ValueError: the layer is merged, so that its base holds something else.
    """
    old_a, old_b = layer._start_a, layer._start_b
    start_a, start_b = start_a.to(old_a), start_b.to(old_b)
    if torch.equal(old_a, start_a) and torch.equal(old_b, start_b):
        return
    if layer.merged:
        raise ValueError("a merged layer holds no residual; call unmerge(network) first")
    weight = layer.base.weight
    with without_autocast(weight):
        shift = layer.scale * (old_b @ old_a - start_b @ start_a)
    # In place, so that whoever watches the weight's version sees that it has changed.
    weight.copy_(weight.to(shift.dtype) + shift)
    old_a.copy_(start_a)
    old_b.copy_(start_b)
