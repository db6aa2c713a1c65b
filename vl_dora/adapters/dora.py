"""DoRA: low-rank adaptation of a linear map, split into magnitude and direction.

Source: Liu et al. 2024, arXiv:2402.09353, eq. 5; one norm per output row of the (o, i) weight.
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.compiled import compiled_norm
from vl_dora.adapters.engine import adapted_linear, autocast_dtype, drawn
from vl_dora.adapters.entry import Entry
from vl_dora.adapters.initialization import INITS, low_rank_scale, start_factors
from vl_dora.adapters.layer import check_number, check_switch, check_word
from vl_dora.adapters.merged_forward import MERGED_FORWARDS, Folded, fold, merged_linear, pays
from vl_dora.adapters.products import Factors, Settings
from vl_dora.adapters.rescaled import RescaledLinear
from vl_dora.adapters.residual import entries_on_the_original
from vl_dora.adapters.row_norm import FactoredNorm, adapted_row_squares, factored_norm, without_autocast
from vl_dora.adapters.step_cache import StepCache

NORM_GRADIENTS = ("detached", "full")
DROPOUT_MODES = ("branch", "reference")


class DoRALinear(RescaledLinear):
    """A frozen `nn.Linear` whose weight is re-scaled row by row and shifted by rank `r`.

    y = c * (W x) + b + c * s * (B A x),   c = m / ||W + s B A||_row,   s = alpha / r

    At construction m = ||W||_row and B = 0, so the output equals `base(x)` exactly (with
    pissa: to one rounding of W). The bias is never scaled. Norm and magnitude are float32 whatever
    the base dtype.

    Args:
        base: the layer to adapt; frozen in place, not copied.
        rank: r, 1 <= r <= min(i, o).
        alpha: numerator of the scale s; unit-less.
        dropout: drop probability p on the adapter's view x~ of x, 0 <= p < 1.
        norm_gradient: "detached": the norm is a constant to the gradient (section 4.3 of the
            paper); "full": the gradient flows through it.
        dropout_mode: "branch": c * (W x) + b + c * s * (B A x~), one base product; "reference":
            W x + (c - 1) * (W x~) + b + c * s * (B A x~) with one draw x~. Equal at p = 0.
        rslora: s = alpha / sqrt(r) instead.
        init: where A and B start: kaiming, gaussian or pissa (`initialization.py`).
        merged_forward: whether training holds W' = c * (W + s B A) for one optimizer step, which costs
            one more copy of the weight: "auto": where it is faster, that is, without dropout, in
            float32 or float64, and from about d/4 tokens in a call; "always" (under torch.compile the
            layer then runs eagerly); "never".

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "dora"

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
        super().__init__(base)
        self.check_rank(rank, base)
        check_number("alpha", alpha, low=0.0, high=math.inf)
        check_number("dropout", dropout, low=0.0, high=1.0)
        check_word("norm_gradient", norm_gradient, NORM_GRADIENTS)
        check_word("dropout_mode", dropout_mode, DROPOUT_MODES)
        check_word("merged_forward", merged_forward, MERGED_FORWARDS)
        check_switch("rslora", rslora)
        check_word("init", init, INITS)
        self.rank, self.alpha, self.rslora, self.init = rank, alpha, rslora, init
        self.scale = low_rank_scale(rank, alpha, rslora)
        self.norm_gradient, self.dropout_mode = norm_gradient, dropout_mode
        self.merged_forward = merged_forward
        self.dropout = nn.Dropout(dropout)
        self._norm: StepCache[FactoredNorm] = StepCache()
        self._folded: StepCache[Folded] = StepCache()
        device = base.weight.device
        self.lora_a = nn.Parameter(torch.empty(rank, base.in_features, dtype=self.wide, device=device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=self.wide, device=device))
        start_factors(self)
        self.train(base.training)

    @property
    def _settings(self) -> Settings:
        reference, full = self.dropout_mode == "reference", self.norm_gradient == "full"
        return Settings(self.scale, self.dropout.p, reference, full)

    def squares(self) -> Tensor:
        """||W + s B A||^2 per row, (o,), computed anew; differentiable with the full norm gradient."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.norm_gradient == "full"):
            return adapted_row_squares(
                self.matrix(), self.base_squares(), self.lora_a, self.lora_b, self.scale
            )

    def current_norm(self) -> FactoredNorm:
        """The norm of W + s B A, computed once per optimizer step (see `step_cache.py`)."""
        squares = self.base_squares()

        def make() -> FactoredNorm:
            norm = factored_norm(self.matrix(), squares, self.lora_a, self.lora_b, self.scale)
            none = squares.new_empty(0)
            return norm if self.norm_gradient == "full" else FactoredNorm(norm.squares, none, none)

        if squares.is_meta:
            return make()
        return self._norm.get((self.lora_a, self.lora_b), squares, make)

    def refresh(self) -> None:
        """Forgets norm and merged weight; needed only after writes through `.data` on a GPU."""
        self._norm.clear()
        self._folded.clear()

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i) to (*batch, o)."""
        if self.merged:
            return self._merged_forward(x)
        weight, dtype = self.base.weight, autocast_dtype(x, self.base.weight)
        x = x if dtype is None else x.to(dtype)
        keep = drawn(x, self.dropout.p) if self.training else None
        if self._merges(x):
            squares = self.base_squares()
            own = (self.lora_a, self.lora_b, self.magnitude)
            folded = self._folded.get(own, squares, lambda: fold(weight, squares, *own, self._settings))
            return merged_linear(x, folded, self._factors(folded.norm), self._settings)
        if torch.compiler.is_compiling():
            full = self.norm_gradient == "full"
            norm = compiled_norm(self._ticket, self.magnitude, self.lora_a, full)
        else:
            norm = self.current_norm()
        return adapted_linear(x, self._factors(norm), keep, self._settings)

    def _factors(self, norm: FactoredNorm) -> Factors:
        own = (self.base.weight, self.base.bias, self.lora_a, self.lora_b, self.magnitude)
        return Factors(*own, *norm) if self.norm_gradient == "full" else Factors(*own, norm.squares)

    def _merges(self, x: Tensor) -> bool:
        """Whether this forward takes W'; by x alone, so that a checkpoint's recomputation agrees."""
        if self.merged_forward == "never" or not self.training or x.is_meta:
            return False
        possible = x.dtype == self.base.weight.dtype and x.dtype.itemsize >= 4 and self.dropout.p == 0
        possible = possible and not torch.compiler.is_compiling()
        if self.merged_forward == "always":
            if not possible:
                raise ValueError(
                    f"merged_forward='always' needs float32 or float64 without autocast, dropout 0 and eager "
                    f"mode; here x is {x.dtype}, the weight {self.base.weight.dtype}, dropout "
                    f"{self.dropout.p:g}; use merged_forward='auto'"
                )
            return True
        return possible and pays(x.numel() // max(1, x.shape[-1]), self.in_features, self.out_features)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        with without_autocast(self.base.weight):
            shifted = self.matrix().to(self.wide) + self.scale * (self.lora_b @ self.lora_a)
            return self.gain(self.squares())[:, None] * shifted

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self.refresh()
        return self

    def file_entries(self) -> dict[str, Entry]:
        return entries_on_the_original(self, super().file_entries())

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha}, norm_gradient={self.norm_gradient}"
