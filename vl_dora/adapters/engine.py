"""The autograd of an adapted linear map: keeps x, x~ A^T and the layer's own output, nothing else.

Eager code goes through one `torch.autograd.Function`; under torch.compile the same arithmetic stands
behind operators that the compiler does not look into (`compiled.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vl_dora.adapters.compiled import adapted_forward
from vl_dora.adapters.products import Factors, Forward, Settings, Wanted, backward, explained, forward


def adapted_linear(x: Tensor, factors: Factors, keep: Tensor | None, settings: Settings) -> Tensor:
    """y = c * (x W^T) + (x~ A^T)(c s B)^T + b, (..., i) to (..., o).

    Gradients flow to x, b, A, B and m; W and the norm are constants, but with `settings.full` what
    flows through the norm is added to A and B.

    Args:
        x: (..., i), in the dtype to compute in.
        factors: the layer's tensors; `products` and `gram` with `settings.full`.
        keep: which numbers of x the adapter sees (..., i), boolean; None: all.
        settings: scale, dropout and norm gradient of the layer.
    """
    if torch.compiler.is_compiling():
        return adapted_forward(x, factors, keep, settings)
    f = factors
    return _AdaptedLinear.apply(
        x, f.bias, f.a, f.b, f.magnitude, f.weight, f.squares, f.products, f.gram, keep, settings
    )


def autocast_dtype(x: Tensor, weight: Tensor) -> torch.dtype | None:
    """The dtype that autocast would compute x W^T in, or None where it would not interfere."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return None
    return None if torch.float64 in (x.dtype, weight.dtype) else torch.get_autocast_dtype(kind)


def drawn(x: Tensor, dropout: float) -> Tensor | None:
    """Which numbers of x a dropout of this probability keeps, one byte each; None: all of them.

    The draw is the one that `nn.functional.dropout` would make on a CPU.
    """
    if dropout == 0.0:
        return None
    return torch.empty_like(x, dtype=torch.bool).bernoulli_(1.0 - dropout)


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        a: Tensor | None,
        b: Tensor | None,
        magnitude: Tensor | None,
        weight: Tensor,
        squares: Tensor | None,
        products: Tensor | None,
        gram: Tensor | None,
        keep: Tensor | None,
        settings: Settings,
    ) -> Tensor:
        made = forward(x, Factors(weight, bias, a, b, magnitude, squares, products, gram), keep, settings)
        through_norm = settings.full and any(ctx.needs_input_grad[2:4])
        scales = ctx.needs_input_grad[4] or (through_norm and magnitude is not None)
        ctx.save_for_backward(
            x if any(ctx.needs_input_grad[2:5]) else None,
            bias,
            a,
            b,
            magnitude,
            weight,
            squares,
            products,
            gram,
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
            x, bias, a, b, magnitude, weight, squares, products, gram, keep, low, direction, y = (
                ctx.saved_tensors
            )
        needed = ctx.needs_input_grad
        wanted = Wanted(x=needed[0], bias=needed[1], a=needed[2], b=needed[3], magnitude=needed[4])
        if x is None:  # only its shape matters
            x = grad.new_empty(()).expand(ctx.shape)
        factors = Factors(weight, bias, a, b, magnitude, squares, products, gram)
        made = Forward(grad if y is None else y, low, direction, ctx.weak)
        dx, d_bias, da, db, dm = backward(grad, x, factors, keep, made, wanted, ctx.settings)
        return dx, d_bias, da, db, dm, None, None, None, None, None, None
