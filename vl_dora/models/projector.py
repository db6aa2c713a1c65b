"""VisualEmbedding: from tower features to BART's input space.

Source: VL-T5 / VL-BART (Cho et al. 2021, arXiv:2102.02779, section 3.1); each term has its own
layer norm, as in the CLIP-feature models of VL-Adapter.
Shapes: B samples, I pictures, N visual tokens per picture, F tower features, d model width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VisualEmbedding(nn.Module):
    """e = LN(W f) + LN(U box) + picture[i] + token_table[-1 - n].

    Grid features have no boxes: all five box numbers are zero, so the second term is a learned
    constant; it is kept because published weights and parameter counts have it. The order of
    the visual tokens is told by the last rows of the token table, backwards.

    Args:
        feature_dim: F.
        width: d.
        max_images: rows of the picture-order table.
    """

    def __init__(self, feature_dim: int, width: int, max_images: int = 2) -> None:
        super().__init__()
        self.max_images = max_images
        self.feature_projection = nn.Linear(feature_dim, width)
        self.feature_norm = nn.LayerNorm(width)
        self.box_projection = nn.Linear(5, width)
        self.box_norm = nn.LayerNorm(width)
        self.image_order = nn.Embedding(max_images, width)

    def forward(self, features: Tensor, token_table: Tensor) -> Tensor:
        """(B, I, N, F) features and the (vocabulary, d) token table -> (B, I, N, d).

        Raises:
            ValueError: F is not what the projection was built for.
        """
        if features.shape[-1] != self.feature_projection.in_features:
            raise ValueError(
                f"features have width {features.shape[-1]}, the network was built for "
                f"{self.feature_projection.in_features}; set model.network.feature_dim"
            )
        num_images, num_tokens = features.shape[1:3]
        boxes = features.new_zeros(5)
        pictures = self.image_order.weight[:num_images, None]
        order = token_table[token_table.shape[0] - 1 - torch.arange(num_tokens, device=features.device)]
        visual = self.feature_norm(self.feature_projection(features))
        return visual + self.box_norm(self.box_projection(boxes)) + pictures + order
