"""The CLIP tower of LLaVA: uint8 pictures in, one hidden layer's patch features out.

Source: Liu et al. 2024, arXiv:2310.03744: CLIP ViT-L/14 at 336 pixels, the layer before the last, class
token dropped; the layers are transformers' CLIP.
Shapes: M = pictures, N = patches of a picture, F = width of the tower.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Of CLIP's training pictures, for values in 0..1 (openai/CLIP, `clip.py`).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class ClipTower(nn.Module):
    """(M, 3, size, size) uint8 -> (M, N, F): hidden states of one layer, without the class token.

    Args:
        body: transformers' CLIPVisionModel.
        layer: which hidden state, counted from the end (-1: the last layer's output).

    Raises:
        ValueError: the tower has no such layer; later: pictures of another size.
    """

    def __init__(self, body: Any, layer: int) -> None:
        super().__init__()
        depth = body.config.num_hidden_layers
        if not -depth <= layer <= -1:
            raise ValueError(
                f"model.network.vision_feature_layer={layer} must lie in {-depth}..-1, the tower's layers"
            )
        self.body = body
        self.layer = layer
        self.num_features = body.config.hidden_size
        self.image_size = body.config.image_size

    def forward(self, pixels: Tensor) -> Tensor:
        if tuple(pixels.shape[-2:]) != (self.image_size,) * 2:
            raise ValueError(
                f"pictures of {pixels.shape[-1]} x {pixels.shape[-2]} pixels do not fit the tower, which "
                f"reads {self.image_size} x {self.image_size}; set model.image_size={self.image_size}"
            )
        parameter = next(self.body.parameters())
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (MEAN, STD))
        values = ((pixels.float() / 255 - mean) / std).to(parameter.dtype)
        return self.body(values, output_hidden_states=True).hidden_states[self.layer][:, 1:]

    def beyond(self) -> dict[str, str]:
        """Path below the body -> why no gradient reaches that module: it comes after the layer read."""
        names = {id(module): name for name, module in self.body.named_modules()}
        layers = next(m for n, m in self.body.named_modules() if n.endswith("encoder.layers"))
        read = len(layers) + self.layer
        reason = (
            f"the network reads the output of layer {read} of the tower (model.network.vision_feature_layer="
            f"{self.layer}, layers counted from 0), and this comes after it"
        )
        later = [*list(layers)[read + 1 :], self.body.get_submodule(_post_norm(names.values()))]
        return {names[id(module)]: reason for module in later}


def _post_norm(names: Any) -> str:
    return next(name for name in names if name.endswith("post_layernorm"))
