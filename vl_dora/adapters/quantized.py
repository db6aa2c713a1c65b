"""LoRA, DoRA and magnitude-only tuning of linear layers whose weights are held in 4 or 8 bits.

QLoRA (Dettmers et al. 2023, arXiv:2305.14314) and its DoRA, QDoRA: W is what the bits stand for. The product
with W is bitsandbytes' own, so the start is the base bit for bit; the norm of W + s B A is taken of the
dequantized weight, once per optimizer step; the backward dequantizes again instead of keeping the weight.
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vl_dora.adapters.dora import DoRALinear
from vl_dora.adapters.engine import autocast_dtype, drawn
from vl_dora.adapters.entry import Entry
from vl_dora.adapters.layer import AdaptedLinear
from vl_dora.adapters.lora import LoRALinear
from vl_dora.adapters.magnitude import MagnitudeLinear
from vl_dora.adapters.products import Factors, Forward, Settings, Wanted, adapted, backward, explained
from vl_dora.adapters.quantization import base_product, dequantized, plain_dtype, quantization_of
from vl_dora.adapters.row_norm import without_autocast


class QuantizedLinear(AdaptedLinear):
    """An adapted linear layer of bitsandbytes; its bits stay as they are, also while it is merged."""

    _plain: Tensor | None

    @classmethod
    def takes(cls, module: nn.Module) -> bool:
        return quantization_of(module) is not None

    @classmethod
    def check_rank(cls, rank: int, base: nn.Module) -> None:
        """Stops on a rank that a layer on this base cannot have.

        Raises:
            ValueError: `rank` is not a whole number in 1..min(i, o).
        """
        assert isinstance(base, nn.Linear)  # bitsandbytes' are
        limit = min(base.in_features, base.out_features)
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= limit:
            raise ValueError(f"rank={rank!r} must be a whole number in 1..{limit} for a {base}")

    def matrix(self) -> Tensor:
        return dequantized(self.base)

    def unread_by_peft(self) -> str | None:
        return f"the base rounded to {quantization_of(self.base)}: PEFT has to load it so"

    def unit_magnitude(self) -> Entry:
        return Entry((self.out_features,), lambda: self.merged_weight().norm(dim=1), None)

    @property
    def merged(self) -> bool:
        return self._buffers.get("_plain") is not None

    @torch.no_grad()
    def merge(self) -> None:
        """Folds the adapter into a plain copy of the weight, which costs its full size.

        The sum is taken in float32, the copy is of the dtype that the weight had before. To round it to
        4 or 8 bits again would lose most of what was learned.
        """
        if self.merged:
            raise ValueError(f"this {type(self).__name__} is already merged; unmerge it first")
        folded = self.merged_weight().to(plain_dtype(self.base))
        self.register_buffer("_plain", folded, persistent=False)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Drops the plain copy; the bits were never touched."""
        if not self.merged:
            raise ValueError(f"this {type(self).__name__} is not merged; there is nothing to undo")
        del self._plain

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i) to (*batch, o)."""
        if self.merged:
            if self.training and torch.is_grad_enabled():
                raise RuntimeError("a merged adapter cannot train; call unmerge(network) first")
            plain, bias = self._plain, self.base.bias
            assert plain is not None
            return F.linear(x, plain.to(x.dtype), None if bias is None else bias.to(x.dtype))
        return self._adapted(x)

    @torch.compiler.disable  # neither bitsandbytes nor the way back through it can be compiled
    def _adapted(self, x: Tensor) -> Tensor:
        dtype = autocast_dtype(x, self.base.weight)
        x = x if dtype is None else x.to(dtype)
        factors, settings = self.quantized_factors()
        keep = drawn(x, settings.dropout) if self.training else None
        f = factors
        return _QuantizedLinear.apply(x, f.bias, f.a, f.b, f.magnitude, f, self.base, keep, settings)

    def quantized_factors(self) -> tuple[Factors, Settings]:
        """The layer for the engine; the weight in it are the bits."""
        raise NotImplementedError


class QuantizedLoRALinear(QuantizedLinear, LoRALinear):
    """QLoRA: `LoRALinear` on a base of 4 or 8 bits.

    Args:
        base: a Linear4bit or Linear8bitLt of bitsandbytes; frozen in place, not copied.
        rank: r, 1 <= r <= min(i, o).
        alpha: numerator of the scale s.
        dropout: drop probability on the adapter's view of x.
        rslora: s = alpha / sqrt(r) instead.
        init: kaiming or gaussian.

    Raises:
        ValueError: an option is outside what is stated above.
    """

    def __init__(
        self,
        base: nn.Linear,
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        rslora: bool = False,
        init: str = "kaiming",
    ) -> None:
        check_quantized_start(init)
        LoRALinear.__init__(self, base, rank=rank, alpha=alpha, dropout=dropout, rslora=rslora, init=init)

    def quantized_factors(self) -> tuple[Factors, Settings]:
        factors = Factors(self.base.weight, self.base.bias, self.lora_a, self.lora_b)
        return factors, Settings(self.scale, self.dropout.p)


class QuantizedDoRALinear(QuantizedLinear, DoRALinear):
    """QDoRA: `DoRALinear` on a base of 4 or 8 bits.

    Args:
        base: a Linear4bit or Linear8bitLt of bitsandbytes; frozen in place, not copied.
        rank: r, 1 <= r <= min(i, o).
        alpha: numerator of the scale s.
        dropout: drop probability on the adapter's view of x.
        norm_gradient: detached or full.
        dropout_mode: branch or reference.
        rslora: s = alpha / sqrt(r) instead.
        init: kaiming or gaussian.
        merged_forward: "auto" or "never", which mean the same here: a plain W' is what quantization saves.

    Raises:
        ValueError: an option is outside what is stated above.
    """

    def __init__(
        self,
        base: nn.Linear,
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        norm_gradient: str = "detached",
        dropout_mode: str = "branch",
        rslora: bool = False,
        init: str = "kaiming",
        merged_forward: str = "auto",
    ) -> None:
        check_quantized_start(init)
        if merged_forward == "always":
            raise ValueError(
                "merged_forward='always' is not for quantized weights; use merged_forward='auto'"
            )
        DoRALinear.__init__(
            self,
            base,
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            norm_gradient=norm_gradient,
            dropout_mode=dropout_mode,
            rslora=rslora,
            init=init,
            merged_forward=merged_forward,
        )

    def quantized_factors(self) -> tuple[Factors, Settings]:
        return self._factors(self.current_norm()), self._settings


class QuantizedMagnitudeLinear(QuantizedLinear, MagnitudeLinear):
    """`MagnitudeLinear` on a base of 4 or 8 bits.

    Args:
        base: a Linear4bit or Linear8bitLt of bitsandbytes; frozen in place, not copied.
    """

    def quantized_factors(self) -> tuple[Factors, Settings]:
        own = (self.base.weight, self.base.bias)
        return Factors(*own, magnitude=self.magnitude, squares=self.base_squares()), Settings()


def check_quantized_start(init: str) -> None:
    """Stops on a start that would have to change the bits.

    Raises:
        ValueError: `init` is pissa.
    """
    if init == "pissa":
        raise ValueError(
            "init='pissa' keeps a residual in the base, and a quantized base cannot hold one; use kaiming or "
            "gaussian, or set quantization to null"
        )


class _QuantizedLinear(torch.autograd.Function):
    """`engine.adapted_linear`, but for the weight: its bits stay with the base and are not saved."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        a: Tensor | None,
        b: Tensor | None,
        magnitude: Tensor | None,
        factors: Factors,
        base: nn.Module,
        keep: Tensor | None,
        settings: Settings,
    ) -> Tensor:
        with without_autocast(x):
            y = base_product(base, x, bias)
            made = adapted(y, x, factors, keep, settings, lambda seen: base_product(base, seen, None))
        needed = ctx.needs_input_grad
        scales = needed[4] or (settings.full and magnitude is not None and any(needed[2:4]))
        ctx.save_for_backward(
            x if any(needed[2:5]) else None,
            bias,
            a,
            b,
            magnitude,
            factors.squares,
            factors.products,
            factors.gram,
            keep,
            made.low,
            made.direction if scales else None,
            made.y if scales and made.direction is None else None,
        )
        ctx.base, ctx.weak, ctx.settings, ctx.shape = base, made.weak, settings, x.shape
        return made.y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with explained(grad):
            x, bias, a, b, magnitude, squares, products, gram, keep, low, direction, y = ctx.saved_tensors
        needed = ctx.needs_input_grad
        wanted = Wanted(x=needed[0], bias=needed[1], a=needed[2], b=needed[3], magnitude=needed[4])
        if x is None:  # only its shape matters
            x = grad.new_empty(()).expand(ctx.shape)
        factors = Factors(dequantized(ctx.base), bias, a, b, magnitude, squares, products, gram)
        made = Forward(grad if y is None else y, low, direction, ctx.weak)
        dx, d_bias, da, db, dm = backward(grad, x, factors, keep, made, wanted, ctx.settings)
        return dx, d_bias, da, db, dm, None, None, None, None
