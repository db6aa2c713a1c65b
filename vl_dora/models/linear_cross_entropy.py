"""Cross-entropy over a large vocabulary without ever holding all logits.

Logits of S tokens over V words take S * V numbers, twice with their gradient: at S = 16 * 2,048 and
V = 32,000 in float32 that is 8.4 GB. In chunks of C tokens it is C * V, whatever S is: 0.26 GB at C = 1,024.
What is paid is the head's product a second time, in the backward pass.
Shapes: S = tokens, d = width, V = vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def weighted_cross_entropy(
    states: Tensor, head: nn.Module, labels: Tensor, weights: Tensor, chunk: int | None
) -> Tensor:
    """Scalar: sum over tokens of weight times cross-entropy of `head(state)`.

    Args:
        states: (S, d).
        head: (S, d) -> (S, V); adapted or not.
        labels: (S,) words, all of them real.
        weights: (S,).
        chunk: tokens whose logits are held at a time; None: all of them.
    """

    def part(some: Tensor, words: Tensor, shares: Tensor) -> Tensor:
        logits = head(some)
        wide = torch.promote_types(logits.dtype, torch.float32)
        return (F.cross_entropy(logits.to(wide), words, reduction="none") * shares).sum()

    if chunk is None or len(states) <= chunk:
        return part(states, labels, weights)
    pieces = zip(states.split(chunk), labels.split(chunk), weights.split(chunk), strict=True)
    return torch.stack([checkpoint(part, *piece, use_reentrant=False) for piece in pieces]).sum()
