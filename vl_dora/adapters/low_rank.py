"""What the low-rank layers of convolutions and embeddings share: factors, their scale, and DoRA's norm.

`nn.Linear` has the same in `lora.py` and `dora.py`, with an autograd of its own.
Shapes: o = rows of the layer's matrix, i = its columns, r = rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.compiled import compiled_norm
from vl_dora.adapters.dora import NORM_GRADIENTS
from vl_dora.adapters.initialization import INITS, low_rank_scale
from vl_dora.adapters.layer import AdaptedLayer, check_number, check_switch, check_word
from vl_dora.adapters.rescaled import RescaledLayer
from vl_dora.adapters.row_norm import FactoredNorm, without_autocast
from vl_dora.adapters.step_cache import StepCache


class LowRankLayer(AdaptedLayer):
    """A frozen layer whose matrix W (o, i) is shifted by s * B A."""

    lora_a: nn.Parameter
    lora_b: nn.Parameter

    def set_options(self, rank: int, alpha: float, rslora: bool, init: str) -> None:
        """Checks and keeps the options of the factors.

        Raises:
            ValueError: a value that the option, or this kind of layer, cannot have.
        """
        self.check_rank(rank, self.base)
        check_number("alpha", alpha, low=0.0, high=math.inf)
        check_switch("rslora", rslora)
        check_word("init", init, INITS)
        if init == "pissa":
            raise ValueError(
                f"init='pissa' is for nn.Linear, not for a {type(self.base).__name__}; give such layers a "
                f"rule of their own under `also`, with kaiming or gaussian"
            )
        self.rank, self.alpha, self.rslora, self.init = rank, alpha, rslora, init
        self.scale = low_rank_scale(rank, alpha, rslora)

    def factor(self, *shape: int) -> nn.Parameter:
        """A parameter of zeros, in `wide`, where the base is."""
        return nn.Parameter(torch.zeros(shape, dtype=self.wide, device=self.base.weight.device))

    def shift(self) -> Tensor:
        """B A (o, i), without the scale."""
        raise NotImplementedError

    def shifted(self) -> Tensor:
        """W + s * B A (o, i), in `wide`."""
        with without_autocast(self.base.weight):
            return self.matrix().to(self.wide) + self.scale * self.shift()

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha}"


class DirectedLayer(RescaledLayer, LowRankLayer):
    """A low-rank layer whose rows are re-scaled to the magnitude m: DoRA on any kind of base."""

    norm_gradient: str
    _norm: StepCache[FactoredNorm]

    def start_norm(self, norm_gradient: str) -> None:
        """Makes the magnitude and keeps how the gradient treats the norm.

        Raises:
            ValueError: `norm_gradient` is neither detached nor full.
        """
        check_word("norm_gradient", norm_gradient, NORM_GRADIENTS)
        self.norm_gradient = norm_gradient
        self._norm = StepCache()
        self.start_magnitude()

    def shifted_squares(self) -> Tensor:
        """||W + s B A||^2 per row, (o,), computed anew, differentiable in A and B."""
        raise NotImplementedError

    def squares(self) -> Tensor:
        """||W + s B A||^2 per row, (o,), computed anew; differentiable with the full norm gradient."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.norm_gradient == "full"):
            return self.shifted_squares()

    def current_norm(self) -> FactoredNorm:
        """The norm as a constant, computed once per optimizer step (see `step_cache.py`)."""
        squares = self.base_squares()

        def make() -> FactoredNorm:
            none = squares.new_empty(0)
            return FactoredNorm(self.shifted_squares(), none, none)

        if squares.is_meta:
            return make()
        return self._norm.get((self.lora_a, self.lora_b), squares, make)

    def current_gain(self) -> Tensor:
        """c = m / n (o,), differentiable in m, with the full norm gradient in A and B too."""
        if self.norm_gradient == "full" and torch.is_grad_enabled():
            return self._differentiable_gain()
        if torch.compiler.is_compiling():
            return self.gain(compiled_norm(self._ticket, self.magnitude, self.lora_a, False).squares)
        return self.gain(self.current_norm().squares)

    @torch.compiler.disable
    def _differentiable_gain(self) -> Tensor:
        return self.gain(self.squares())

    def refresh(self) -> None:
        """Forgets the norm; needed only after writes through `.data` on a GPU."""
        self._norm.clear()

    def rescaled(self) -> Tensor:
        """c * (W + s B A) (o, i), in `wide`."""
        return self.gain(self.squares())[:, None] * self.shifted()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self.refresh()
        return self

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, norm_gradient={self.norm_gradient}"
