"""LoRA: low-rank adaptation of a linear map. Source: Hu et al. 2021, arXiv:2106.09685.

Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vl_dora.adapters.engine import adapted_linear, autocast_dtype, drawn
from vl_dora.adapters.entry import Entry
from vl_dora.adapters.initialization import INITS, low_rank_scale, start_factors
from vl_dora.adapters.layer import AdaptedLinear, check_number, check_switch, check_word
from vl_dora.adapters.products import Factors, Settings
from vl_dora.adapters.residual import entries_on_the_original
from vl_dora.adapters.row_norm import without_autocast


class LoRALinear(AdaptedLinear):
    """A frozen `nn.Linear` whose weight is shifted by rank `r`.

    y = W x + b + s * (B A x~),   s = alpha / r,   x~ = x after dropout

    At construction B = 0, so the output equals `base(x)` exactly (with pissa: to one rounding of W).

    Args:
        base: the layer to adapt; frozen in place, not copied.
        rank: r, 1 <= r <= min(i, o).
        alpha: numerator of the scale s; unit-less.
        dropout: drop probability on the adapter's view of x, 0 <= p < 1.
        rslora: s = alpha / sqrt(r) instead.
        init: where A and B start: kaiming, gaussian or pissa (`initialization.py`).

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "lora"

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
        super().__init__(base)
        self.check_rank(rank, base)
        check_number("alpha", alpha, low=0.0, high=math.inf)
        check_number("dropout", dropout, low=0.0, high=1.0)
        check_switch("rslora", rslora)
        check_word("init", init, INITS)
        self.rank, self.alpha, self.rslora, self.init = rank, alpha, rslora, init
        self.scale = low_rank_scale(rank, alpha, rslora)
        self.dropout = nn.Dropout(dropout)
        device = base.weight.device
        self.lora_a = nn.Parameter(torch.empty(rank, base.in_features, dtype=self.wide, device=device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=self.wide, device=device))
        start_factors(self)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i) to (*batch, o)."""
        if self.merged:
            return self._merged_forward(x)
        dtype = autocast_dtype(x, self.base.weight)
        x = x if dtype is None else x.to(dtype)
        keep = drawn(x, self.dropout.p) if self.training else None
        factors = Factors(self.base.weight, self.base.bias, self.lora_a, self.lora_b)
        return adapted_linear(x, factors, keep, Settings(self.scale, self.dropout.p))

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        with without_autocast(self.base.weight):
            return self.matrix().to(self.wide) + self.scale * (self.lora_b @ self.lora_a)

    def file_entries(self) -> dict[str, Entry]:
        return entries_on_the_original(self, super().file_entries())

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha}"
