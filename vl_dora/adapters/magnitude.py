"""Magnitude-only tuning: DoRA with a frozen direction (Liu et al. 2024, arXiv:2402.09353, section 5.6).

Shapes: o = out_features, i = in_features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vl_dora.adapters.compiled import compiled_base_squares
from vl_dora.adapters.engine import adapted_linear, autocast_dtype
from vl_dora.adapters.products import Factors, Settings
from vl_dora.adapters.rescaled import RescaledLinear


class MagnitudeLinear(RescaledLinear):
    """A frozen `nn.Linear` whose weight is re-scaled row by row.

    y = c * (W x) + b,   c = m / ||W||_row;   at construction m = ||W||_row, so y equals `base(x)` exactly.

    Args:
        base: the layer to adapt; frozen in place, not copied.

    Raises:
        ValueError: `base` is not an `nn.Linear`.
    """

    method = "magnitude"

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i) to (*batch, o)."""
        if self.merged:
            return self._merged_forward(x)
        dtype = autocast_dtype(x, self.base.weight)
        squares = (
            compiled_base_squares(self._ticket, self.magnitude)
            if torch.compiler.is_compiling()
            else self.base_squares()
        )
        factors = Factors(self.base.weight, self.base.bias, magnitude=self.magnitude, squares=squares)
        return adapted_linear(x if dtype is None else x.to(dtype), factors, None, Settings())

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        return self.gain(self.base_squares())[:, None] * self.matrix().to(self.wide)
