"""Muon: momentum with orthogonal steps for the matrices of a network, AdamW for the rest."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor, nn

from vl_dora.models.vl_bart import VLBart


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal (arXiv:2502.16982), scaled to the size of an AdamW step.

    torch's own works in bfloat16, which takes seconds a step on a CPU; this one is float32, and matrices
    of one shape go through together.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes = defaultdict(list)
            for matrix in group["params"]:
                shapes[matrix.shape].append(matrix)
            for shape, matrices in shapes.items():
                gradient = torch.stack([m.grad for m in matrices])
                moving = self.state[matrices[0]].setdefault("momentum", torch.zeros_like(gradient))
                moving.lerp_(gradient, 1 - group["momentum"])
                update = orthogonal(gradient.lerp(moving, group["momentum"]))
                size = 0.2 * group["lr"] * math.sqrt(max(shape))
                for matrix, change in zip(matrices, update, strict=True):
                    matrix.mul_(1 - 0.01 * group["lr"]).sub_(change, alpha=size)


def orthogonal(matrices: Tensor) -> Tensor:
    """(n, o, i): singular values to about one, by five Newton-Schulz steps with Keller Jordan's numbers."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if wide else x.mT


def make_optimizers(
    name: str, network: VLBart, trained: list[nn.Parameter], lr: float
) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon for the matrices of the layers and AdamW for the rest."""
    adamw = {"lr": lr, "betas": (0.9, 0.98), "weight_decay": 0.01}
    if name == "adamw":
        return [torch.optim.AdamW(trained, **adamw)]
    layers = nn.ModuleList([*network.bart.model.encoder.layers, *network.bart.model.decoder.layers])
    matrices = [p for p in layers.parameters() if p.ndim == 2]
    known = {id(p) for p in matrices}
    return [Muon(matrices, lr), torch.optim.AdamW([p for p in trained if id(p) not in known], **adamw)]
