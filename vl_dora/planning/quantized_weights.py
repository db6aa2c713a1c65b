"""What a base in 4 or 8 bits saves: arithmetic on top of a step that was run with plain weights.

On the meta device nothing is rounded, so the layers run as plain ones do. Of each quantized weight the bits
are held instead, and while one layer runs its weight stands beside them in floating point.
Sources: Dettmers et al. 2023, arXiv:2305.14314 (nf4: blocks of 64, their scales in 8 bits, blocks of 256 of
those); Dettmers et al. 2022, arXiv:2208.07339 (int8: a float32 scale a row).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor, nn

from vl_dora.adapters import AdaptationAudit
from vl_dora.planning.step_cost import StepCost


def held(weight: Tensor, quantization: str) -> int:
    """Bytes that a weight (o, i) takes in nf4 or int8."""
    if quantization == "int8":
        return weight.numel() + 4 * len(weight)
    blocks = -(-weight.numel() // 64)
    return -(-weight.numel() // 2) + blocks + 4 * -(-blocks // 256)


def with_quantized_weights(cost: StepCost, network: nn.Module, audit: AdaptationAudit) -> StepCost:
    """The cost with the weights held as the audit's rules say; unchanged where they say nothing."""
    found = list(_quantized(network, audit))
    if not found:
        return cost
    plain = [weight.numel() * weight.element_size() for weight, _ in found]
    saved = sum(plain) - sum(held(weight, word) for weight, word in found)
    at_peak = dict(cost.at_peak)
    at_peak["weights"] = at_peak.get("weights", 0) - saved
    at_peak["working"] = at_peak.get("working", 0) + max(plain)
    return replace(cost, weights=cost.weights - saved, peak=cost.peak - saved + max(plain), at_peak=at_peak)


def _quantized(network: nn.Module, audit: AdaptationAudit) -> Iterator[tuple[Tensor, str]]:
    parameters = dict(network.named_parameters())
    for row in audit.rows:
        if row.quantization is not None:
            for path in dict.fromkeys(name.rpartition(".")[0] for name in row.names):
                yield parameters[f"{path}.base.weight"], row.quantization
