"""DVoRA: DoRA whose direction moves by VeRA.

Source: Liu et al. 2024, arXiv:2402.09353, over VeRA: Kopiczko et al. 2023, arXiv:2310.11454.
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.compiled import compiled_norm
from vl_dora.adapters.dora import DROPOUT_MODES, NORM_GRADIENTS
from vl_dora.adapters.engine import autocast_dtype, drawn
from vl_dora.adapters.layer import check_word
from vl_dora.adapters.products import Factors, Settings
from vl_dora.adapters.projected import ProjectedLinear, projected_linear
from vl_dora.adapters.projections import SharedProjections
from vl_dora.adapters.rescaled import RescaledLinear
from vl_dora.adapters.row_norm import FactoredNorm, factored_norm, without_autocast
from vl_dora.adapters.step_cache import StepCache


class DVoRALinear(ProjectedLinear, RescaledLinear):
    """A frozen `nn.Linear` whose weight is shifted as VeRA shifts it, then re-scaled row by row.

    y = c * (V x) + bias,   V = W + diag(b) B diag(d) A,   c = m / ||V||_row

    A and B are frozen and shared; d (r,), b (o,) and m (o,) train. At construction m = ||W||_row and
    b = 0, so the output equals `base(x)` exactly. The norm is computed once per optimizer step, in
    float32 whatever the base dtype. Dropout is placed as in `DoRALinear`.

    Args:
        base: the layer to adapt; frozen in place, not copied.
        projections: the pair that the layers of a rule share, at least as large as this layer.
        d_initial: where every d starts, above 0.
        dropout: drop probability on the adapter's view of x, 0 <= p < 1.
        norm_gradient: "detached": the norm is a constant to the gradient; "full": d and b feel it, for which
            every layer holds W A'^T (o, r) from step to step, 16 MB at o = 4096, r = 1024.
        dropout_mode: "branch" or "reference".

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "dvora"
    file_keys = {**ProjectedLinear.file_keys, "magnitude": ".vera_magnitude_vector"}

    def __init__(
        self,
        base: nn.Linear,
        *,
        projections: SharedProjections,
        d_initial: float = 0.1,
        dropout: float = 0.0,
        norm_gradient: str = "detached",
        dropout_mode: str = "branch",
    ) -> None:
        super().__init__(base)
        check_word("norm_gradient", norm_gradient, NORM_GRADIENTS)
        check_word("dropout_mode", dropout_mode, DROPOUT_MODES)
        self.norm_gradient, self.dropout_mode = norm_gradient, dropout_mode
        self._norm: StepCache[FactoredNorm] = StepCache()
        self._start(projections, d_initial, dropout)

    @torch.no_grad()
    def current_norm(self) -> FactoredNorm:
        """The norm of V, computed once per optimizer step (see `step_cache.py`)."""
        squares = self.base_squares()

        def make() -> FactoredNorm:
            norm = factored_norm(self.base.weight, squares, *self.scaled().factors(), 1.0)
            none = squares.new_empty(0)
            return norm if self.norm_gradient == "full" else FactoredNorm(norm.squares, none, none)

        if squares.is_meta:
            return make()
        return self._norm.get((self.lambda_d, self.lambda_b), squares, make)

    def refresh(self) -> None:
        """Forgets the norm; needed only after writes through `.data` on a GPU."""
        self._norm.clear()

    def forward(self, x: Tensor) -> Tensor:
        """(*batch, i) to (*batch, o)."""
        if self.merged:
            return self._merged_forward(x)
        dtype = autocast_dtype(x, self.base.weight)
        x = x if dtype is None else x.to(dtype)
        keep = drawn(x, self.dropout.p) if self.training else None
        full, scaled = self.norm_gradient == "full", self.scaled()
        if torch.compiler.is_compiling():
            norm = compiled_norm(self._ticket, self.magnitude, scaled.a, full)
        else:
            norm = self.current_norm()
        known = norm if full else (norm.squares,)
        factors = Factors(self.base.weight, self.base.bias, None, None, self.magnitude, *known)
        settings = Settings(1.0, self.dropout.p, self.dropout_mode == "reference", full)
        return projected_linear(x, factors, scaled, keep, settings)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        with without_autocast(self.base.weight):
            squares = self.current_norm().squares
            return self.gain(squares)[:, None] * (self.base.weight.to(self.wide) + self.update())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self.refresh()
        return self

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, norm_gradient={self.norm_gradient}"
