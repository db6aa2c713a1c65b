"""Layers that re-scale the rows of their map: what DoRA and magnitude-only tuning share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.compiled import compiled_base_squares, new_ticket
from vl_dora.adapters.layer import AdaptedLayer, AdaptedLinear
from vl_dora.adapters.products import gain
from vl_dora.adapters.row_norm import row_squares


class RescaledLayer(AdaptedLayer):
    """A frozen layer with one trainable magnitude m per output row of its matrix, m = ||W||_row at the start.

    Args:
        base: the layer to adapt; frozen in place, not copied.
    """

    magnitude: nn.Parameter

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        self.start_magnitude()

    def start_magnitude(self) -> None:
        """Makes m; for classes whose other parents have a constructor of their own."""
        self._squares_of: tuple | None = None
        self._sample: Tensor | None = None
        self._ticket = new_ticket(self)
        self.register_buffer("_squares", None, persistent=False)
        squares = self.base_squares()
        self.magnitude = nn.Parameter(squares if squares.is_meta else squares.sqrt())

    def base_squares(self) -> Tensor:
        """||W||^2 per row, (o,), in `wide`: computed once, and again whenever W has changed.

        W is frozen. Loading, replacing and writing it in place is seen; a write through `.data` is
        seen on a CPU where it reaches one of the numbers that are looked at.
        """
        weight = self.base.weight
        if weight.is_inference():
            return row_squares(self.matrix(), self.wide)
        identity, sample = _identity(weight), _sample(weight)
        same = sample is None or (self._sample is not None and torch.equal(sample, self._sample))
        if self._squares_of != identity or not same:
            # Buffers must be usable in later training even if first computed under inference_mode.
            with torch.inference_mode(False):
                self._squares = row_squares(self.matrix(), self.wide)
                self._sample = None if sample is None else sample.clone()
            self._squares_of = identity
        return self._squares

    def base_gain(self) -> Tensor:
        """c = m / ||W||_row, (o,), of layers whose direction stays."""
        if torch.compiler.is_compiling():
            return self.gain(compiled_base_squares(self._ticket, self.magnitude))
        return self.gain(self.base_squares())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._ticket = new_ticket(self)  # a copy is another layer

    def gain(self, squares: Tensor) -> Tensor:
        """c = m / n, (o,), from the squared norms n^2; 1 where n = 0 (real models have zero rows)."""
        return gain(self.magnitude, squares)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # The squares move along with the layer: recomputed on another device they could differ
        # in the last bit from the magnitudes, and an untrained layer would no longer be the identity.
        weight = self.base.weight
        dtype, known = weight.dtype, not weight.is_meta and self._squares_of == _identity(weight)
        super()._apply(fn, recurse)
        moved = known and self.base.weight.dtype == dtype
        self._squares_of = _identity(self.base.weight) if moved else None
        sample = _sample(self.base.weight)
        self._sample = None if sample is None else sample.clone()
        return self


class RescaledLinear(RescaledLayer, AdaptedLinear):
    """A frozen `nn.Linear` with a magnitude per output row."""


def _identity(weight: Tensor) -> tuple:
    return weight.data_ptr(), weight._version, weight.dtype, weight.device


def _sample(weight: Tensor) -> Tensor | None:
    """A grid of numbers of W on a CPU: whoever reloads or re-scales W changes them."""
    if weight.device.type != "cpu":
        return None
    rows, columns = weight.shape[:2]
    return weight.detach()[:: max(1, rows // 16), :: max(1, columns // 16)]
