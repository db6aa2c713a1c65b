"""The arithmetic of an adapted linear map, forward and backward, free of autograd.

    y = c * (x W^T) + (x~ A^T) (c s B)^T + b        c = m / n,   n = ||W + s B A||_row

One base product, one row scale in place, one product added in place. The backward folds c and s
into the small matrices and takes the magnitude's gradient from the layer's own output:

    dm = sum_t g (y - b) / m

so that of all (tokens, o) tensors only the output itself has to be kept.
Shapes: W (o, i), A (r, i), B (o, r), m and n^2 (o,), x (..., i), y and its gradient g (..., o).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vl_dora.adapters.numberless import numberless
from vl_dora.adapters.row_norm import CHUNK, without_autocast

CHANGED = (
    "the output of an adapted layer was changed in place by the operation after it, but the layer needs it "
    "for the gradient of its magnitude; use that operation's out-of-place form, for instance "
    "nn.ReLU(inplace=False), or adapt the layer with method lora"
)
# Tokens at a time in sums over (tokens, o): on a CPU small enough to stay in its cache.
TOKENS_CPU, TOKENS_GPU = 64, 2048


@dataclass(frozen=True)
class Settings:
    """What does not change from call to call.

    Args:
        scale: s.
        dropout: p; it matters only where a mask is given.
        reference: the dropped x also passes through (c - 1) W.
        full: the gradient flows through the norm.
    """

    scale: float = 1.0
    dropout: float = 0.0
    reference: bool = False
    full: bool = False

    @property
    def growth(self) -> float:
        """What keeps the expectation of a dropped x: 1 / (1 - p)."""
        return 1.0 / (1.0 - self.dropout)


@dataclass(frozen=True)
class Factors:
    """The tensors of an adapted layer; None for what its method does not have.

    Args:
        weight: W (o, i), frozen.
        bias: b (o,).
        a: A (r, i).
        b: B (o, r).
        magnitude: m (o,).
        squares: n^2 (o,), a constant here.
        products: W A^T (o, r), for the full gradient of the norm.
        gram: A A^T (r, r), likewise.
    """

    weight: Tensor
    bias: Tensor | None = None
    a: Tensor | None = None
    b: Tensor | None = None
    magnitude: Tensor | None = None
    squares: Tensor | None = None
    products: Tensor | None = None
    gram: Tensor | None = None

    def gain(self) -> Tensor | None:
        """c (o,), or None for LoRA; a constant to the gradient, see `gain`."""
        if self.magnitude is None or self.squares is None:
            return None
        c = self.magnitude.detach().to(self.squares.dtype) / self.squares.sqrt()
        return torch.where(self.squares > 0, c, 1.0)

    def up(self, gain: Tensor | None, factor: float, dtype: torch.dtype) -> Tensor:
        """c s B (o, r) times a factor."""
        assert self.b is not None
        scaled = factor * self.b if gain is None else (factor * gain)[:, None] * self.b
        return scaled.to(dtype)


@dataclass(frozen=True)
class Forward:
    """What a forward pass made.

    Args:
        y: the output (..., o).
        low: x~ A^T (tokens, r), not yet scaled for dropout.
        direction: x~ (W + s B A)^T (tokens, o), of the reference dropout only.
        weak: how many rows have too small a |c|, on the host; of a GPU only.
    """

    y: Tensor
    low: Tensor | None = None
    direction: Tensor | None = None
    weak: Tensor | None = None


@dataclass(frozen=True)
class Wanted:
    """Which gradients are asked for."""

    x: bool = False
    bias: bool = False
    a: bool = False
    b: bool = False
    magnitude: bool = False


def gain(magnitude: Tensor, squares: Tensor) -> Tensor:
    """c = m / n (o,), from the squared norms n^2; 1 where n = 0 (real models have zero rows)."""
    empty = squares <= 0
    norm = torch.where(empty, torch.ones_like(squares), squares).sqrt()
    return torch.where(empty, torch.ones_like(squares), magnitude.to(squares.dtype) / norm)


def forward(x: Tensor, factors: Factors, keep: Tensor | None, settings: Settings) -> Forward:
    """The adapted map of x.

    Args:
        x: (..., i), in the dtype to compute in.
        factors: the layer.
        keep: which numbers of x the adapter sees (..., i), boolean; None: all.
        settings: as the layer was made.
    """
    with without_autocast(x):
        weight, bias = factors.weight.to(x.dtype), None if factors.bias is None else factors.bias.to(x.dtype)
        # With its bias and in the caller's own shape: so it rounds as the base layer's output does, and
        # the start is the identity bit for bit.
        y = F.linear(x, weight, bias)
        return adapted(y, x, factors, keep, settings, lambda seen: F.linear(seen, weight))


def adapted(
    y: Tensor,
    x: Tensor,
    factors: Factors,
    keep: Tensor | None,
    settings: Settings,
    product: Callable[[Tensor], Tensor],
) -> Forward:
    """The adapted map of x out of the base's own output; outside of autocast.

    Args:
        y: x W^T + b (..., o), is written to.
        x: (..., i), as in `forward`.
        factors: the layer; its weight is not looked at.
        keep: as in `forward`.
        settings: as the layer was made.
        product: x~ (tokens, i) to x~ W^T (tokens, o), for the reference dropout.
    """
    c, bias = factors.gain(), None if factors.bias is None else factors.bias.to(x.dtype)
    y = y.contiguous()
    flat, seen = y.view(-1, y.shape[-1]), x.reshape(-1, x.shape[-1])
    direction = None
    growth = 1.0
    if keep is not None:
        seen, growth = seen * keep.reshape(seen.shape), settings.growth
    if c is not None:
        if keep is not None and settings.reference:
            direction = product(seen).mul_(growth)
            torch.addcmul(flat, direction, c - 1, out=flat)
        elif bias is None:
            flat.mul_(c)
        else:
            torch.addcmul((1 - c) * bias, flat, c, out=flat)
    low = None
    if factors.a is not None:
        low = seen @ factors.a.to(x.dtype).T
        flat.addmm_(low, factors.up(c, settings.scale * growth, x.dtype).T)
        if direction is not None:
            direction.addmm_(low, factors.up(None, settings.scale * growth, x.dtype).T)
    return Forward(y, low, direction, _count_weak(c, x) if direction is None else None)


def backward(
    grad: Tensor,
    x: Tensor,
    factors: Factors,
    keep: Tensor | None,
    made: Forward,
    wanted: Wanted,
    settings: Settings,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of x, b, A, B and m, in this order; None where not wanted.

    Args:
        grad: g (..., o).
        x: as it was given to `forward`.
        factors: likewise.
        keep: likewise.
        made: what `forward` made.
        wanted: what is asked for.
        settings: as in `forward`.
    """
    with without_autocast(x):
        g, flat = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
        c = factors.gain()
        growth = 1.0 if keep is None else settings.growth
        keep = None if keep is None else keep.reshape(flat.shape)
        down = None
        if factors.b is not None and (wanted.x or wanted.a):
            down = g @ factors.up(c, settings.scale * growth, g.dtype)
        dx = _of_input(g, factors, c, keep, down, settings).view(x.shape) if wanted.x else None
        d_bias = g.sum(dim=0).to(factors.bias.dtype) if wanted.bias and factors.bias is not None else None
        da = db = dm = None
        if wanted.a and down is not None and factors.a is not None:
            da = (down.T @ (flat if keep is None else flat * keep)).to(factors.a.dtype)
        if wanted.b and made.low is not None and factors.b is not None:
            db = (g.T @ made.low).to(factors.b.dtype)
            db.mul_(settings.scale * growth if c is None else (settings.scale * growth * c)[:, None])
        full = settings.full and factors.products is not None and (wanted.a or wanted.b)
        if c is not None and (wanted.magnitude or full):
            dm = _of_magnitude(g, flat, factors, c, made, settings, growth)
            if full:
                da, db = _through_norm(dm, da, db, factors, settings)
        return dx, d_bias, da, db, dm if wanted.magnitude else None


def _of_input(
    g: Tensor,
    factors: Factors,
    c: Tensor | None,
    keep: Tensor | None,
    down: Tensor | None,
    settings: Settings,
) -> Tensor:
    weight = factors.weight.to(g.dtype)
    if keep is not None and settings.reference and c is not None:
        dropped = (g * (c - 1).to(g.dtype)).mul_(settings.growth) @ weight
        dx = g @ weight
    else:
        dropped = None
        dx = (g if c is None else g * c.to(g.dtype)) @ weight
    if down is not None and factors.a is not None:
        a = factors.a.to(g.dtype)
        if keep is None:
            return dx.addmm_(down, a)
        dropped = down @ a if dropped is None else dropped.addmm_(down, a)
    return dx if dropped is None or keep is None else dx.add_(dropped.mul_(keep))


def _of_magnitude(
    g: Tensor, x: Tensor, factors: Factors, c: Tensor, made: Forward, settings: Settings, growth: float
) -> Tensor:
    """dm (o,), in the dtype of m, summed in that dtype whatever the dtype of g."""
    magnitude, squares = factors.magnitude, factors.squares
    assert magnitude is not None and squares is not None
    empty = squares <= 0
    if made.direction is not None:
        dots = row_dots(g, made.direction, None, c.dtype)
        return torch.where(empty, 0.0, dots / squares.sqrt()).to(magnitude.dtype)
    y = made.y.reshape(g.shape)
    weak = c.abs() < weakest(y.dtype)
    dots = row_dots(g, y, factors.bias, c.dtype)
    dm = torch.where(weak | empty, 0.0, dots / magnitude.to(c.dtype))
    if made.weak is None or _arrived(made.weak) > 0:
        # Where c is about 0 the output is hardly more than the bias, and says nothing about the direction.
        rows = (weak & ~empty).nonzero().squeeze(1)
        if len(rows):
            direction = x @ factors.weight[rows].to(x.dtype).T
            if made.low is not None and factors.b is not None:
                up = (settings.scale * growth * factors.b[rows]).to(x.dtype)
                direction.addmm_(made.low, up.T)
            dots = row_dots(g[:, rows], direction, None, c.dtype) / squares[rows].sqrt()
            dm = dm.index_copy(0, rows, dots)
    return dm.to(magnitude.dtype)


def _through_norm(
    dm: Tensor, da: Tensor | None, db: Tensor | None, factors: Factors, settings: Settings
) -> tuple[Tensor | None, Tensor | None]:
    """Adds to dA and dB what flows through n: with k = m dm / n^2,

    dB -= s k * (U + s B G),   dA -= s ((k * B)^T W + s ((k * B)^T B) A),   U = W A^T, G = A A^T.
    """
    a, b, magnitude, squares = factors.a, factors.b, factors.magnitude, factors.squares
    assert a is not None and b is not None and magnitude is not None and squares is not None
    assert factors.products is not None and factors.gram is not None
    s, empty = settings.scale, squares <= 0
    k = torch.where(empty, 0.0, magnitude * dm / torch.where(empty, 1.0, squares))[:, None]
    if db is not None:
        db.sub_(s * k * torch.addmm(factors.products, b, factors.gram, alpha=s))
    if da is not None:
        kb = k * b
        if factors.weight.dtype == kb.dtype:
            da.addmm_(kb.T, factors.weight, alpha=-s)
        else:
            for rows, weight in zip(kb.split(CHUNK), factors.weight.split(CHUNK), strict=True):
                da.addmm_(rows.T, weight.to(kb.dtype), alpha=-s)
        da.addmm_(kb.T @ b, a, alpha=-s * s)
    return da, db


def row_dots(g: Tensor, y: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """sum_t g (y - b), (o,), in `dtype`, without a tensor of the size of y."""
    total = torch.zeros(g.shape[1], dtype=dtype, device=g.device)
    if numberless(g):
        return total
    size = TOKENS_GPU if g.is_cuda else TOKENS_CPU
    shift = torch.zeros_like(total) if bias is None else bias.to(y.dtype).to(dtype)
    for some_g, some_y in zip(g.split(size), y.split(size), strict=True):
        total += (some_y - shift).mul_(some_g).sum(dim=0)
    return total


def weakest(dtype: torch.dtype) -> float:
    """The |c| under which an output of `dtype` is too coarse to hold c (W + s B A) x beside the bias."""
    return 2.0**-3 if dtype.itemsize == 2 else 2.0**-7


@contextmanager
def explained(grad: Tensor) -> Iterator[None]:
    """Says what to do when the output, kept for the backward, was written to in between."""
    try:
        yield
    except RuntimeError as error:
        # torch names the tensor by its shape; parameters written too early keep torch's own words.
        if "modified by an inplace operation" in str(error) and str(list(grad.shape)) in str(error):
            raise RuntimeError(f"{CHANGED}; {error}") from None
        raise


def _count_weak(c: Tensor | None, x: Tensor) -> Tensor | None:
    """Sends the number of weak rows to the host, to be there when the backward asks; none on a CPU."""
    if c is None or not c.is_cuda:
        return None
    count = torch.full((1,), -1, dtype=torch.int64, pin_memory=True)
    return count.copy_((c.abs() < weakest(x.dtype)).sum().view(1), non_blocking=True)


def _arrived(count: Tensor) -> int:
    value = int(count)
    if value < 0:
        torch.cuda.synchronize()
        value = int(count)
    return value
