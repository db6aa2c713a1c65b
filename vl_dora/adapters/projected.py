"""The linear map with VeRA's factors: A' = diag(d) A and B' = diag(b) B, A and B frozen and shared.

It is the engine's map of A' and B' (`products.py`), so dropout, magnitudes and both norm gradients are the
same; A' and B' are made anew in the backward instead of being kept, and of their gradients only the row sums
against A and B remain:

    dd = rowsum(dA' * A),   db = rowsum(dB' * B)

Shapes: A (r, i), B (o, r), d (r,), b (o,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vl_dora.adapters.engine import adapted_linear
from vl_dora.adapters.layer import AdaptedLinear, check_number
from vl_dora.adapters.products import Factors, Forward, Settings, Wanted, backward, explained, forward
from vl_dora.adapters.projections import SharedProjections, check_projections


@dataclass(frozen=True)
class Scaled:
    """VeRA's vectors and the layer's share of the matrices.

    Args:
        a: A (r, i).
        b: B (o, r).
        down: d (r,), the scales of A's rows.
        up: b (o,), the scales of B's rows.
    """

    a: Tensor
    b: Tensor
    down: Tensor
    up: Tensor

    def factors(self) -> tuple[Tensor, Tensor]:
        """A' (r, i) and B' (o, r)."""
        return self.down[:, None] * self.a, self.up[:, None] * self.b


class ProjectedLinear(AdaptedLinear):
    """An adapted `nn.Linear` with the vectors d and b over shared matrices.

    At construction b = 0, so that the output equals `base(x)` exactly.
    """

    file_keys = {"lambda_b": ".vera_lambda_b", "lambda_d": ".vera_lambda_d"}
    projections: SharedProjections

    @classmethod
    def check_rank(cls, rank: int, base: nn.Module) -> None:
        """Any rank: what trains is r + o numbers, and random matrices may be of more rows than W has."""
        check_projections(rank)

    def _start(self, projections: SharedProjections, d_initial: float, dropout: float) -> None:
        check_number("dropout", dropout, low=0.0, high=1.0)
        check_start(d_initial)
        if self.in_features > projections.in_features or self.out_features > projections.out_features:
            raise ValueError(f"{projections} is too small for {self.base}")
        self.projections, self.rank, self.d_initial = projections, projections.rank, d_initial
        self.dropout = nn.Dropout(dropout)
        dtype, device = self.wide, self.base.weight.device
        start = torch.full((projections.rank,), float(d_initial), dtype=dtype, device=device)
        self.lambda_d = nn.Parameter(start)
        self.lambda_b = nn.Parameter(torch.zeros(self.out_features, dtype=dtype, device=device))
        self.train(self.base.training)

    def scaled(self) -> Scaled:
        """The vectors, and views of the shared matrices."""
        a, b = self.projections.share(self.in_features, self.out_features)
        return Scaled(a.to(self.wide), b.to(self.wide), self.lambda_d, self.lambda_b)

    def update(self) -> Tensor:
        """diag(b) B diag(d) A (o, i), in `wide`."""
        a, b = self.scaled().factors()
        return b @ a

    def remembered(self) -> dict[str, int]:
        """Seed and sizes of the shared matrices, and their fingerprint."""
        pair = self.projections
        sizes = {"rank": pair.rank, "in_features": pair.in_features, "out_features": pair.out_features}
        return {"projection_seed": pair.seed, **sizes, "fingerprint": pair.fingerprint()}

    def extra_repr(self) -> str:
        return f"rank={self.rank}, seed={self.projections.seed}"


def check_start(d_initial: Any) -> None:
    """Stops on a start of d with which nothing would ever move.

    Raises:
        ValueError: `d_initial` is no number above 0.
    """
    check_number("d_initial", d_initial, low=0.0, high=math.inf)
    if d_initial == 0:
        raise ValueError("d_initial=0 would keep d and b where they are for ever; it must be above 0")


def projected_linear(
    x: Tensor, factors: Factors, scaled: Scaled, keep: Tensor | None, settings: Settings
) -> Tensor:
    """`engine.adapted_linear` of A' and B', with gradients for d and b.

    Args:
        x: (..., i), in the dtype to compute in.
        factors: the layer's tensors but for A and B.
        scaled: A, B, d and b.
        keep: which numbers of x the adapter sees (..., i), boolean; None: all.
        settings: as the layer was made, s = 1.
    """
    if torch.compiler.is_compiling():
        a, b = scaled.factors()
        return adapted_linear(x, replace(factors, a=a, b=b), keep, settings)
    return _ProjectedLinear.apply(
        x,
        factors.bias,
        scaled.down,
        scaled.up,
        factors.magnitude,
        scaled.a,
        scaled.b,
        factors,
        keep,
        settings,
    )


class _ProjectedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        magnitude: Tensor | None,
        a: Tensor,
        b: Tensor,
        factors: Factors,
        keep: Tensor | None,
        settings: Settings,
    ) -> Tensor:
        scaled_a, scaled_b = Scaled(a, b, down, up).factors()
        made = forward(x, replace(factors, a=scaled_a, b=scaled_b), keep, settings)
        needed = ctx.needs_input_grad
        scales = needed[4] or (settings.full and magnitude is not None and any(needed[2:4]))
        ctx.save_for_backward(
            x if any(needed[2:5]) else None,
            bias,
            down,
            up,
            magnitude,
            a,
            b,
            factors.weight,
            factors.squares,
            factors.products,
            factors.gram,
            keep,
            made.low,
            made.direction if scales else None,
            made.y if scales and made.direction is None else None,
        )
        ctx.weak, ctx.settings, ctx.shape = made.weak, settings, x.shape
        return made.y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with explained(grad):
            x, bias, down, up, magnitude, a, b, weight, squares, products, gram, keep, low, direction, y = (
                ctx.saved_tensors
            )
        needed = ctx.needs_input_grad
        wanted = Wanted(x=needed[0], bias=needed[1], a=needed[2], b=needed[3], magnitude=needed[4])
        if x is None:  # only its shape matters
            x = grad.new_empty(()).expand(ctx.shape)
        factors = Factors(weight, bias, *Scaled(a, b, down, up).factors(), magnitude, squares, products, gram)
        made = Forward(grad if y is None else y, low, direction, ctx.weak)
        dx, d_bias, da, db, dm = backward(grad, x, factors, keep, made, wanted, ctx.settings)
        d_down = None if da is None else (da * a).sum(dim=1)
        d_up = None if db is None else (db * b).sum(dim=1)
        return dx, d_bias, d_down, d_up, dm, None, None, None, None, None
