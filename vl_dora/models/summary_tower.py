"""SummaryTower: a tiny tower that tells of a whole picture in a few tokens.

Shapes: M = pictures, 36 = cells of the 6 x 6 grid, F = features per token, N = summary tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vl_dora.models.vision import TinyTower


class SummaryTower(nn.Module):
    """`TinyTower`'s grid, read cell by cell, summed, and told in N tokens: (M, 3, 96, 96) -> (M, N, F).

    A sum over cells keeps counts, which a language encoder of a few layers learns slowly from many grid
    tokens; N tokens in place of 36 also make it several times faster.

    Args:
        num_tokens: N.
        num_features: F, also the width of the grid's features.
        width: width of the layers between.
    """

    image_size = 96

    def __init__(self, num_tokens: int = 10, num_features: int = 128, width: int = 320) -> None:
        super().__init__()
        self.num_tokens, self.num_features = num_tokens, num_features
        self.grid = TinyTower(num_features)
        self.place = nn.Parameter(torch.randn(36, num_features) * 0.1)
        self.cell = nn.Sequential(
            nn.Linear(num_features, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.picture = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU())
        self.tokens = nn.Linear(2 * width, num_tokens * num_features)

    def forward(self, pixels: Tensor) -> Tensor:
        """(M, N, F) tokens of uint8 pictures (M, 3, 96, 96)."""
        return self.summarise(self.grid(pixels))

    def summarise(self, cells: Tensor) -> Tensor:
        """(M, N, F) tokens of grid features (M, 36, F)."""
        whole = self.cell(cells + self.place).sum(1) / 6
        return self.tokens(self.picture(whole)).unflatten(1, (self.num_tokens, self.num_features))
