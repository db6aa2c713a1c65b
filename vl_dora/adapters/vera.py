"""VeRA: low-rank adaptation by two vectors over frozen random matrices.

Source: Kopiczko et al. 2023, arXiv:2310.11454.
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vl_dora.adapters.engine import autocast_dtype, drawn
from vl_dora.adapters.products import Factors, Settings
from vl_dora.adapters.projected import ProjectedLinear, projected_linear
from vl_dora.adapters.projections import SharedProjections
from vl_dora.adapters.row_norm import without_autocast


class VeRALinear(ProjectedLinear):
    """A frozen `nn.Linear` whose weight is shifted by shared random matrices, scaled row by row.

    y = W x + bias + diag(b) B diag(d) A x~,   x~ = x after dropout

    A and B are frozen and shared; d (r,) and b (o,) train. At construction b = 0, so the output equals
    `base(x)` exactly.

    Args:
        base: the layer to adapt; frozen in place, not copied.
        projections: the pair that the layers of a rule share, at least as large as this layer.
        d_initial: where every d starts, above 0.
        dropout: drop probability on the adapter's view of x, 0 <= p < 1.

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "vera"

    def __init__(
        self,
        base: nn.Linear,
        *,
        projections: SharedProjections,
        d_initial: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(base)
        self._start(projections, d_initial, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i) to (*batch, o)."""
        if self.merged:
            return self._merged_forward(x)
        dtype = autocast_dtype(x, self.base.weight)
        x = x if dtype is None else x.to(dtype)
        keep = drawn(x, self.dropout.p) if self.training else None
        settings = Settings(dropout=self.dropout.p)
        return projected_linear(x, Factors(self.base.weight, self.base.bias), self.scaled(), keep, settings)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        with without_autocast(self.base.weight):
            return self.base.weight.to(self.wide) + self.update()
