"""The merged forward: y = x W'^T + b with W' = c * (W + s B A) held for one optimizer step.

Per token it saves 4 d r of the 12 d r operations that the factors cost, and keeps nothing for the
backward but x and the layer's own output; x A^T is taken again there. W' costs one more copy of the
weight. Only for float32 and float64: rounded to bfloat16, W' would swallow small updates.
Shapes: W (o, i), A (r, i), B (o, r), m and n^2 (o,).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vl_dora.adapters.products import Factors, Forward, Settings, Wanted, backward, explained, gain
from vl_dora.adapters.row_norm import CANCELLED, FactoredNorm, cancelled, row_squares, without_autocast

MERGED_FORWARDS = ("auto", "always", "never")


class Folded(NamedTuple):
    """W' (o, i) and the norm that it was scaled with."""

    weight: Tensor
    norm: FactoredNorm


def pays(tokens: int, in_features: int, out_features: int) -> bool:
    """Whether the merged forward is the cheaper one for so many tokens in one micro-batch.

    Making W' costs 2 o i r operations, as the norm alone does, and some passes over the weight; each
    token saves 2 r (i + o) operations. The bar, about d / 4 tokens, lies where a micro-batch of its own
    has saved half of what W' costs, so it is kept low for optimizer steps of several micro-batches.
    `tools/benchmark_adapters.py` measures both forwards.
    """
    return 2 * tokens * (in_features + out_features) >= in_features * out_features


def fold(weight: Tensor, base_squares: Tensor, a: Tensor, b: Tensor, m: Tensor, settings: Settings) -> Folded:
    """W' = c * (W + s B A), with the norm taken from the very sum."""
    s = settings.scale
    with without_autocast(weight):
        shifted = torch.addmm(weight, b, a, alpha=s)
        squares = row_squares(shifted, base_squares.dtype)
        share = squares / base_squares
        lost = cancelled(share)
        if len(lost):
            dense = weight[lost].double() + s * b[lost].double() @ a.double()
            few = (share[lost] < CANCELLED)[:, None]
            shifted[lost] = torch.where(few, dense.to(shifted.dtype), shifted[lost])
            exact = dense.square().sum(dim=1).to(squares.dtype)
            squares[lost] = torch.where(few[:, 0], exact, squares[lost])
        none = squares.new_empty(0)
        norm = FactoredNorm(squares, weight @ a.T, a @ a.T) if settings.full else (squares, none, none)
        return Folded(shifted.mul_(gain(m, squares)[:, None]), FactoredNorm(*norm))


def merged_linear(x: Tensor, folded: Folded, factors: Factors, settings: Settings) -> Tensor:
    """y = x W'^T + b with the gradients of `engine.adapted_linear`, (..., i) to (..., o).

    Args:
        x: (..., i), in the dtype of W.
        folded: W' of these factors.
        factors: the layer's tensors, the norm being that of `folded`.
        settings: scale and norm gradient of the layer.
    """
    f = factors
    return _MergedLinear.apply(x, f.bias, f.a, f.b, f.magnitude, folded.weight, factors, settings)


class _MergedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        magnitude: Tensor,
        folded: Tensor,
        factors: Factors,
        settings: Settings,
    ) -> Tensor:
        y = F.linear(x, folded, bias)
        needed = ctx.needs_input_grad
        scales = needed[4] or (settings.full and any(needed[2:4]))
        ctx.save_for_backward(
            x if any(needed[2:5]) else None,
            bias,
            a,
            b,
            magnitude,
            folded,
            factors.weight,
            factors.squares,
            factors.products,
            factors.gram,
            y if scales else None,
        )
        ctx.settings, ctx.shape = settings, x.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with explained(grad):
            x, bias, a, b, magnitude, folded, weight, squares, products, gram, y = ctx.saved_tensors
        needed = ctx.needs_input_grad
        wanted = Wanted(bias=needed[1], a=needed[2], b=needed[3], magnitude=needed[4])
        with without_autocast(grad):
            g = grad.reshape(-1, grad.shape[-1])
            dx = (g @ folded).view(ctx.shape) if needed[0] else None
            if x is None:  # only its shape matters
                x = grad.new_empty(()).expand(ctx.shape)
            # Of rows with c ~ 0 the magnitude's gradient needs x A^T as well.
            low = x.reshape(-1, x.shape[-1]) @ a.T if any(needed[2:5]) else None
            made = Forward(grad if y is None else y, low)
            factors = Factors(weight, bias, a, b, magnitude, squares, products, gram)
            settings = replace(ctx.settings, dropout=0.0, reference=False)
            _, d_bias, da, db, dm = backward(g.view(grad.shape), x, factors, None, made, wanted, settings)
        return dx, d_bias, da, db, dm, None, None, None
