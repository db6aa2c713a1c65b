"""What keeps conversations of one row apart: a block-diagonal mask, and positions that restart.

Shapes: R rows, T tokens of a row; `segments` (R, T) tells which sample a token is of, -1 on padding.
"""

from __future__ import annotations

import torch
from torch import Tensor


def restarting_positions(segments: Tensor) -> Tensor:
    """(R, T): 0, 1, 2, ... from the start of each segment."""
    places = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    return places - places.masked_fill(~starts(segments), 0).cummax(1).values


def starts(segments: Tensor) -> Tensor:
    """(R, T) bool: True on the first token of each segment."""
    first = torch.ones_like(segments, dtype=torch.bool)
    first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return first


def block_mask(segments: Tensor, dtype: torch.dtype, *, additive: bool) -> Tensor:
    """(R, 1, T, T): a token may look at itself and what is before it in its own segment.

    Padding looks at padding, so that no row of scores is empty.

    Args:
        segments: as above.
        dtype: of an additive mask.
        additive: zeros and the dtype's lowest number instead of True and False.
    """
    size = segments.shape[1]
    before = torch.ones(size, size, dtype=torch.bool, device=segments.device).tril()
    seen = ((segments[:, :, None] == segments[:, None, :]) & before)[:, None]
    if not additive:
        return seen
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)


def order_of_samples(segments: Tensor) -> Tensor:
    """(B,) the samples in the order in which the rows hold them."""
    return segments[segments >= 0].unique_consecutive()
