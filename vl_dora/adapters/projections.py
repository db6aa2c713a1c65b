"""The frozen random matrices of VeRA, one pair for all layers of a rule, remembered as a seed.

Source: Kopiczko et al. 2023, arXiv:2310.11454. Distribution, generator and order of drawing are PEFT's, so
that the same seed, rank and sizes give PEFT's matrices bit for bit.
Shapes: A (r, i), B (o, r), with i and o the largest of the layers that share them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def check_projections(rank: Any, seed: Any = 0) -> None:
    """Stops on a rank or a seed that no pair can have.

    Raises:
        ValueError: the rank is no whole number of at least 1, or the seed none of 0..2^63 - 1.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank={rank!r} must be a whole number of at least 1")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"projection_seed={seed!r} must be a whole number in 0..2^63 - 1")


class SharedProjections(nn.Module):
    """A and B, random and frozen; a layer of fewer features takes their first columns or rows.

    A ~ U(-sqrt(6 / i), sqrt(6 / i)), B ~ U(-sqrt(6 / r), sqrt(6 / r)): kaiming-uniform with gain sqrt(2).
    Drawn in float32 on the CPU, whatever the device and dtype of the layers, so that every machine has the
    same, and drawn again where the network goes; float32 even when the network is cast to half precision.
    They are buffers that no state dict holds, and count as no parameter.

    Args:
        rank: r.
        in_features: the largest i.
        out_features: the largest o.
        seed: of the generator.
        device: where they live; on the meta device they have no values until the network is materialised.

    Raises:
        ValueError: the rank is no whole number of at least 1, or the seed none of 0..2^63 - 1.
    """

    a: Tensor
    b: Tensor

    def __init__(
        self,
        *,
        rank: int,
        in_features: int,
        out_features: int,
        seed: int = 0,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        check_projections(rank, seed)
        self.rank, self.in_features, self.out_features, self.seed = rank, in_features, out_features, seed
        for name, matrix in zip("ab", self._drawn(torch.device(device or "cpu")), strict=True):
            self.register_buffer(name, matrix, persistent=False)

    @classmethod
    def for_layers(cls, layers: Iterable[nn.Linear], *, rank: int, seed: int = 0) -> SharedProjections:
        """The pair that all of these layers can take their share of.

        Raises:
            ValueError: the layers lie on several devices, or a value is not allowed.
        """
        layers = list(layers)
        devices = {layer.weight.device for layer in layers}
        if len(devices) > 1:
            names = ", ".join(sorted(str(device) for device in devices))
            raise ValueError(
                f"the layers of one rule share a pair of matrices and must lie on one device, here on "
                f"{names}; give the layers of each device a rule of their own"
            )
        return cls(
            rank=rank,
            in_features=max(layer.in_features for layer in layers),
            out_features=max(layer.out_features for layer in layers),
            seed=seed,
            device=devices.pop(),
        )

    def share(self, in_features: int, out_features: int) -> tuple[Tensor, Tensor]:
        """A (r, in_features) and B (out_features, r): views, not copies."""
        return self.a[:, :in_features], self.b[:out_features]

    def fingerprint(self) -> int:
        """The sum of the matrices' bit patterns: tells whether another machine has drawn the same."""
        if self.a.is_meta:
            return 0
        words = (matrix.float().view(torch.int32).sum(dtype=torch.int64) for matrix in (self.a, self.b))
        return sum(int(word) for word in words)

    def _drawn(self, device: torch.device) -> tuple[Tensor, Tensor]:
        shapes = (self.rank, self.in_features), (self.out_features, self.rank)
        if device.type == "meta":
            return torch.empty(shapes[0], device=device), torch.empty(shapes[1], device=device)
        generator = torch.Generator(device="cpu").manual_seed(self.seed)
        # The bound is computed as torch's kaiming_uniform_ does, so that it rounds as PEFT's.
        bounds = (math.sqrt(3.0) * (math.sqrt(2.0) / math.sqrt(shape[1])) for shape in shapes)
        a, b = (
            torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=generator).to(device)
            for shape, bound in zip(shapes, bounds, strict=True)
        )
        return a, b

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # Asked only where to and in what dtype: the values follow from the seed, also after `to_empty`.
        # Every layer that shares the pair calls this; once it is in place, nothing happens.
        moved = fn(self.a)
        dtype = torch.promote_types(moved.dtype, torch.float32)
        if (moved.device, dtype) != (self.a.device, self.a.dtype):
            self.a, self.b = (matrix.to(dtype) for matrix in self._drawn(moved.device))
        return self

    def extra_repr(self) -> str:
        return f"rank={self.rank}, a={tuple(self.a.shape)}, b={tuple(self.b.shape)}, seed={self.seed}"


def shared_matrices(network: nn.Module) -> list[str]:
    """Names of all such buffers of a network: what processes need not send to each other, having the same."""
    found = ((path, m) for path, m in network.named_modules() if isinstance(m, SharedProjections))
    return [f"{path}.{name}" for path, module in found for name in module._buffers]
