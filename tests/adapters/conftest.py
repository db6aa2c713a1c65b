"""Small networks that the tests of this room adapt."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x + torch.tanh(self.q_proj(x)) * self.v_proj(x))
        return x + self.fc2(torch.tanh(self.fc1(x)))


class Tiny(nn.Module):
    """Vision (with batch norm), projector and a language part with tied embeddings."""

    parts = {"vision": ("vision",), "projector": ("projector",), "language": ("text", "head")}

    def __init__(self, width: int = 8, words: int = 12) -> None:
        super().__init__()
        self.vision = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width))
        self.projector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.text = nn.ModuleDict(
            {"embed": nn.Embedding(words, width), "layers": nn.Sequential(*map(Block, [width] * 2))}
        )
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.text["embed"].weight

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        seen = self.projector(self.vision(pixels))
        return self.head(self.text["layers"](self.text["embed"](ids) + seen[:, None]))


def tiny(seed: int = 0) -> Tiny:
    torch.manual_seed(seed)
    return Tiny().eval()


def shake(network: nn.Module, size: float = 0.2) -> None:
    """Moves everything that trains, as training would."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn_like(parameter))


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(3, 6, generator=generator), torch.randint(0, 12, (3, 5), generator=generator)


@pytest.fixture
def network() -> Tiny:
    return tiny()


@pytest.fixture
def fresh():
    """Makes further copies of the very same network, or of another (by seed)."""
    return tiny


@pytest.fixture
def shaken():
    return shake


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    return inputs()
