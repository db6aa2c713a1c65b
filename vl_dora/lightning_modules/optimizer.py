"""Optimizer settings: AdamW and the course of its learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with linear warm-up, then linear or cosine decay to zero or a constant rate.

    Args:
        lr: learning rate of every rule that sets none.
        weight_decay: of what decays.
        betas: of AdamW.
        eps: of AdamW.
        warmup_fraction: share of all optimizer steps in which the rate rises, 0 to 1.
        schedule: linear, cosine (half a wave) or constant, after the warm-up.
        decay_norms_and_magnitudes: the reference's behaviour; biases never decay.

    Raises:
        ValueError: a number or word outside what is allowed.
    """

    lr: float
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    warmup_fraction: float = 0.1
    schedule: str = "linear"
    decay_norms_and_magnitudes: bool = False

    def __post_init__(self) -> None:
        for name, least in (("lr", 0.0), ("weight_decay", 0.0), ("warmup_fraction", 0.0), ("eps", 0.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
                raise ValueError(f"optim.{name}={value!r} must be a number of at least {least:g}")
        if not self.lr > 0:
            raise ValueError(f"optim.lr={self.lr} must be greater than 0; adapter=frozen trains nothing")
        if not self.warmup_fraction <= 1:
            raise ValueError(f"optim.warmup_fraction={self.warmup_fraction} must lie in 0..1")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"optim.betas={list(self.betas)} must be two numbers of at least 0 and below 1")
        if self.schedule not in ("linear", "cosine", "constant"):
            raise ValueError(f"optim.schedule={self.schedule!r} must be linear, cosine or constant")

    def factor(self, step: int, num_steps: int) -> float:
        """Factor of the learning rate at optimizer step `step` (from 0) of `num_steps`."""
        warm = int(self.warmup_fraction * num_steps)
        if step < warm:
            return (step + 1) / warm
        if self.schedule == "constant":
            return 1.0
        left = max(0.0, (num_steps - step) / max(1, num_steps - warm))
        return left if self.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))
