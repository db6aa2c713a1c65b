"""Vision towers: uint8 pictures in, a sequence of feature vectors out.

Shapes: M = pictures, N = visual tokens per picture, F = features per token.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TinyTower(nn.Module):
    """A convolutional tower for drawn worlds: (M, 3, 96, 96) uint8 -> (M, 36, `num_features`).

    Five strided convolutions give a 6 x 6 grid, one token per 16 x 16 pixels in reading order.
    It is trained by `tools/pretrain_tiny` on what each grid cell holds and frozen afterwards.

    Args:
        num_features: F, the width of the last layer.
    """

    image_size = 96

    def __init__(self, num_features: int = 128) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, 96, num_features)
        kernels, strides = (4, 3, 3, 3, 3), (2, 2, 2, 1, 2)
        self.num_features = num_features
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, k, s, padding=1, bias=False)
            for i, o, k, s in zip(widths, widths[1:], kernels, strides, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.to(next(self.parameters()).dtype) / 127.5 - 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.gelu(norm(convolution(x)))
        return x.flatten(2).transpose(1, 2)


class TimmTower(nn.Module):
    """Any timm backbone as a tower: the last feature grid, or the last tokens, before pooling.

    `resnet101_clip.openai` gives VL-BART's 7 x 7 grid of 2,048 features (layer 4, before
    attention pooling); `vit_base_patch32_clip_224.openai` gives its patch tokens, class token
    dropped.

    Args:
        name: a timm model name.
        weights: None for random weights (tests, meta device), "hub" to let timm download its
            own, or the path of a local checkpoint file.

    Raises:
        ValueError: timm does not know `name`, or `weights` is neither None, "hub" nor a file.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: str | None = None) -> None:
        super().__init__()
        import timm  # half a second: only where a timm tower is asked for

        if not timm.is_model(name):
            known = ", ".join(timm.list_models("*clip*")[:8])
            raise ValueError(f"model.network.vision.name={name} is not a timm model; for instance: {known}")
        if weights not in (None, "hub") and not Path(weights).is_file():
            raise ValueError(
                f"model.network.vision.weights={weights} is not a file; give a local file, 'hub' or null"
            )
        local = {"checkpoint_path": weights} if weights not in (None, "hub") else {}
        self.body = timm.create_model(name, pretrained=weights == "hub", num_classes=0, **local)
        data = timm.data.resolve_model_data_config(self.body)
        self.image_size = data["input_size"][-1]
        self.num_features = self.body.num_features
        self._num_prefix = getattr(self.body, "num_prefix_tokens", 0)
        for key in ("mean", "std"):
            values = torch.tensor(data[key], device="cpu").view(1, 3, 1, 1) * 255
            self.register_buffer(key, values, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        dtype = next(self.body.parameters()).dtype
        grid = self.body.forward_features((pixels - self.mean).to(dtype) / self.std.to(dtype))
        if grid.ndim == 4:  # convolutional towers: (M, F, height, width)
            return grid.flatten(2).transpose(1, 2)
        return grid[:, self._num_prefix :]
