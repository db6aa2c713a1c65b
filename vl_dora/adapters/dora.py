"""DoRA: low-rank adaptation of a linear map, split into magnitude and direction.

Source: Liu et al. 2024, arXiv:2402.09353, eq. 5; one norm per output row of the (o, i) weight.
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vl_dora.adapters.initialization import INITS, low_rank_scale, start_factors
from vl_dora.adapters.layer import check_number, check_rank, check_switch, check_word
from vl_dora.adapters.rescaled import RescaledLinear
from vl_dora.adapters.row_norm import adapted_row_squares, without_autocast

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
    ) -> None:
        super().__init__(base)
        check_rank(rank, base)
        check_number("alpha", alpha, low=0.0, high=math.inf)
        check_number("dropout", dropout, low=0.0, high=1.0)
        check_word("norm_gradient", norm_gradient, NORM_GRADIENTS)
        check_word("dropout_mode", dropout_mode, DROPOUT_MODES)
        check_switch("rslora", rslora)
        check_word("init", init, INITS)
        self.rank, self.alpha, self.rslora, self.init = rank, alpha, rslora, init
        self.scale = low_rank_scale(rank, alpha, rslora)
        self.norm_gradient, self.dropout_mode = norm_gradient, dropout_mode
        self.dropout = nn.Dropout(dropout)
        device = base.weight.device
        self.lora_a = nn.Parameter(torch.empty(rank, base.in_features, dtype=self.wide, device=device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=self.wide, device=device))
        start_factors(self)
        self.train(base.training)

    def squares(self) -> Tensor:
        """||W + s B A||^2 per row, (o,)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.norm_gradient == "full"):
            return adapted_row_squares(
                self.base.weight, self.base_squares(), self.lora_a, self.lora_b, self.scale
            )

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i) to (*batch, o)."""
        if self.merged:
            return self._merged_forward(x)
        gain = self.gain(self.squares())
        plain, seen = self.base(x), self.dropout(x)
        up = (gain * self.scale)[:, None] * self.lora_b
        update = F.linear(F.linear(seen, self.lora_a.to(x.dtype)), up.to(x.dtype))
        if self.dropout_mode == "reference" and self.training and self.dropout.p > 0:
            rescaled = plain + (gain - 1) * F.linear(seen, self.base.weight)
        else:
            rescaled = self.rescale(plain, gain)
        return (rescaled + update).to(plain.dtype)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        with without_autocast(self.base.weight):
            shifted = self.base.weight.to(self.wide) + self.scale * (self.lora_b @ self.lora_a)
            return self.gain(self.squares())[:, None] * shifted

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha}, norm_gradient={self.norm_gradient}"
