"""What a training step takes: its memory by kind, its peak, its operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StepCost:
    """What one training step takes, in bytes and floating-point operations (a multiplication is one).

    Args:
        weights: of all that the network holds, frozen and trainable, buffers included.
        gradients: of all that trains.
        optimizer: state of AdamW.
        batch: what the loader gives.
        activations: what the forward pass leaves for the backward, and what adapters hold for a step.
        peak: the most that is alive at once.
        phase: where that is: forward, backward or optimizer.
        forward_flops: of one micro-batch.
        backward_flops: of one micro-batch, recomputation of checkpoints included.
        at_peak: kind -> bytes then; `working` is what the backward pass or the optimizer has made by then.
    """

    weights: int
    gradients: int
    optimizer: int
    batch: int
    activations: int
    peak: int
    phase: str
    forward_flops: int
    backward_flops: int
    at_peak: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """A step place by place; every number in it is a sum over the layers of the network.

    Args:
        totals: the fields of `StepCost` that are such sums.
        moments: place -> kind -> bytes at the highest moment there; the first word of a place is its phase.
    """

    totals: Mapping[str, int]
    moments: Mapping[str, Mapping[str, int]]

    def cost(self) -> StepCost:
        """The highest of all moments, and the totals."""
        place = max(self.moments, key=lambda name: sum(self.moments[name].values()))
        kinds = {kind: size for kind, size in self.moments[place].items() if size}
        return StepCost(**self.totals, peak=sum(kinds.values()), phase=place.split()[0], at_peak=kinds)
