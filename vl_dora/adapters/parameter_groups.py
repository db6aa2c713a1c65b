"""Optimizer groups of an adapted network: a rate per rule, weight decay only where it belongs."""

from __future__ import annotations

from typing import Any

from torch import nn

from vl_dora.adapters.audit import AdaptationAudit


def parameter_groups(
    network: nn.Module,
    audit: AdaptationAudit,
    *,
    lr: float,
    weight_decay: float,
    decay_norms_and_magnitudes: bool = False,
) -> list[dict[str, Any]]:
    """What a torch optimizer takes: one or two groups per rule of the audit, in its order.

    Decay pulls magnitudes and norm weights towards zero, where they mean nothing; biases never
    decay, other vectors (norm weights, magnitudes) only when asked.

    Args:
        network: the network that the audit speaks of.
        audit: what `apply_adapters` or `load_adapter` returned.
        lr: the learning rate of rules that set none.
        weight_decay: of everything that decays.
        decay_norms_and_magnitudes: decay norm weights and magnitudes too (VL-BART's behaviour).

    Raises:
        ValueError: the audit names a parameter that the network lacks.
    """
    parameters = dict(network.named_parameters())
    groups = []
    for row in audit.rows:
        missing = [name for name in row.names if name not in parameters]
        if missing:
            raise ValueError(f"the audit names {missing[0]}, which this {type(network).__name__} lacks")
        rate = row.learning_rate if row.own_learning_rate else lr
        for decays in (True, False):
            chosen = [
                parameters[name]
                for name in row.names
                if _decays(name, parameters[name], decay_norms_and_magnitudes) == decays
            ]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": rate,
                        "weight_decay": weight_decay if decays else 0.0,
                        "name": f"{row.rule}/{row.method}/{'decay' if decays else 'no_decay'}",
                    }
                )
    return groups


def _decays(name: str, parameter: nn.Parameter, vectors: bool) -> bool:
    leaf = name.rpartition(".")[2]
    if leaf == "bias" or leaf.endswith("_bias"):
        return False
    return vectors or parameter.ndim > 1
