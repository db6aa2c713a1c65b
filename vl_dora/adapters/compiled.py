"""The adapted linear map as operators that torch.compile calls as they are.

The compiler sees two operators, a forward and a backward, and the norm as a third; what stands behind
them runs eagerly, in particular the question whether the norm is still the norm of these A and B.
Neither breaks the graph nor waits for the device.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.products import Factors, Forward, Settings, Wanted, backward, forward
from vl_dora.adapters.row_norm import FactoredNorm

_layers: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_next = 0


def new_ticket(layer: nn.Module) -> Tensor:
    """A number, as a tensor on the host, under which compiled code finds the layer again.

    A Python number would be a constant of the compiled code, and every layer would need code of its own.
    """
    global _next
    _next += 1
    _layers[_next] = layer
    return torch.tensor(_next, device="cpu")


def compiled_norm(ticket: Tensor, magnitude: Tensor, a: Tensor, full: bool) -> FactoredNorm:
    """The layer's norm, looked up when the compiled code runs."""
    squares, products, gram = torch.ops.vl_dora.norm_of(ticket, magnitude.detach(), a.detach(), full)
    return FactoredNorm(squares, products, gram)


def compiled_base_squares(ticket: Tensor, magnitude: Tensor) -> Tensor:
    """||W||^2 (o,) of a layer, looked up when the compiled code runs."""
    return torch.ops.vl_dora.base_squares_of(ticket, magnitude.detach())


@torch.library.custom_op("vl_dora::base_squares_of", mutates_args=())
def _base_squares_of(ticket: Tensor, magnitude: Tensor) -> Tensor:
    return _layers[int(ticket)].base_squares().clone()


@_base_squares_of.register_fake
def _(ticket: Tensor, magnitude: Tensor) -> Tensor:
    return torch.empty_like(magnitude)


@torch.library.custom_op("vl_dora::norm_of", mutates_args=())
def _norm_of(ticket: Tensor, magnitude: Tensor, a: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
    norm = _layers[int(ticket)].current_norm()
    # Copies: the compiler may write over what an operator has returned.
    if full:
        return norm.squares.clone(), norm.products.clone(), norm.gram.clone()
    return norm.squares.clone(), magnitude.new_empty(0), magnitude.new_empty(0)


@_norm_of.register_fake
def _(ticket: Tensor, magnitude: Tensor, a: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
    rows, rank = len(magnitude), len(a)
    none = magnitude.new_empty(0)
    return (
        torch.empty_like(magnitude),
        magnitude.new_empty(rows, rank) if full else none,
        magnitude.new_empty(rank, rank) if full else magnitude.new_empty(0),
    )


def adapted_forward(x: Tensor, factors: Factors, keep: Tensor | None, settings: Settings) -> Tensor:
    """`engine.adapted_linear` for compiled code."""
    f, s = factors, settings
    y, *_ = torch.ops.vl_dora.adapted_linear(
        x,
        f.bias,
        f.a,
        f.b,
        f.magnitude,
        f.weight,
        f.squares,
        f.products if s.full else None,
        f.gram if s.full else None,
        keep,
        s.scale,
        s.dropout,
        s.reference,
        s.full,
    )
    return y


@torch.library.custom_op("vl_dora::adapted_linear", mutates_args=())
def _adapted_linear(
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
    scale: float,
    dropout: float,
    reference: bool,
    full: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    settings = Settings(scale, dropout, reference, full)
    made = forward(x, Factors(weight, bias, a, b, magnitude, squares, products, gram), keep, settings)
    return (
        made.y,
        x.new_empty(0) if made.low is None else made.low,
        x.new_empty(0) if made.direction is None else made.direction,
        torch.zeros(1, dtype=torch.int64) if made.weak is None else made.weak,
    )


@_adapted_linear.register_fake
def _(x, bias, a, b, magnitude, weight, squares, products, gram, keep, scale, dropout, reference, full):
    tokens = x.numel() // x.shape[-1]
    return (
        x.new_empty(*x.shape[:-1], weight.shape[0]),
        x.new_empty(0) if a is None else x.new_empty(tokens, a.shape[0]),
        x.new_empty(tokens, weight.shape[0])
        if reference and keep is not None and magnitude is not None
        else x.new_empty(0),
        torch.empty(1, dtype=torch.int64, device="cpu"),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    tensors, ctx.options = inputs[:10], inputs[10:]
    y, low, direction, weak = output
    if inputs[4] is None or len(direction):
        y = y.new_empty(0)  # LoRA and the reference dropout do not need it
    ctx.present = [tensor is not None for tensor in tensors]
    ctx.save_for_backward(*(t for t in tensors if t is not None), y, low, direction, weak)


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Any, ...]:
    saved = list(ctx.saved_tensors)
    *kept, y, low, direction, weak = saved
    rest = iter(kept)
    tensors = [next(rest) if there else None for there in ctx.present]
    wanted = list(ctx.needs_input_grad[:5])
    grads = torch.ops.vl_dora.adapted_linear_backward(
        grad, *tensors, y, low, direction, weak, wanted, *ctx.options
    )
    own = [gradient if want else None for gradient, want in zip(grads, wanted, strict=True)]
    return (*own, *[None] * (len(tensors) - 5 + len(ctx.options)))


torch.library.register_autograd("vl_dora::adapted_linear", _backward, setup_context=_remember)


@torch.library.custom_op("vl_dora::adapted_linear_backward", mutates_args=())
def _adapted_linear_backward(
    grad: Tensor,
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
    y: Tensor,
    low: Tensor,
    direction: Tensor,
    weak: Tensor,
    wanted: list[bool],
    scale: float,
    dropout: float,
    reference: bool,
    full: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    factors = Factors(weight, bias, a, b, magnitude, squares, products, gram)
    made = Forward(
        y if y.numel() else grad,
        None if a is None else low,
        direction if direction.numel() else None,
        weak if x.is_cuda else None,
    )
    settings = Settings(scale, dropout, reference, full)
    grads = backward(grad, x, factors, keep, made, Wanted(*wanted), settings)
    first, *others = [x.new_empty(0) if gradient is None else gradient.contiguous() for gradient in grads]
    return first, others[0], others[1], others[2], others[3]


@_adapted_linear_backward.register_fake
def _(
    grad, x, bias, a, b, magnitude, weight, squares, products, gram, keep, y, low, direction, weak, wanted, *_
):
    made = [
        torch.empty_like(tensor, memory_format=torch.contiguous_format)
        if want and tensor is not None
        else x.new_empty(0)
        for tensor, want in zip((x, bias, a, b, magnitude), wanted, strict=True)
    ]
    return tuple(made)
