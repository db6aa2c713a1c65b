"""Optimizer groups of an adapted network: a rate per rule, weight decay only where it belongs."""

from __future__ import annotations

from typing import Any

from torch import nn

from vl_dora.adapters.apply import adapted_layers
from vl_dora.adapters.audit import AdaptationAudit


def parameter_groups(
    network: nn.Module,
    audit: AdaptationAudit,
    *,
    lr: float,
    weight_decay: float,
    decay_norms_and_magnitudes: bool = False,
) -> list[dict[str, Any]]:
    """What a torch optimizer takes: a few groups per rule of the audit, in its order.

    Decay pulls magnitudes and norm weights towards zero, where they mean nothing; biases never
    decay, other vectors (norm weights, magnitudes) only when asked. Where a rule has a learning rate
    ratio (LoRA+, Hayou et al. 2024, arXiv:2402.12354), B's rate is the rule's times that ratio; A's, the
    magnitude's and all others' is the rule's own.

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
    second = {id(layer.lora_b) for layer in adapted_layers(network).values() if hasattr(layer, "lora_b")}
    groups = []
    for row in audit.rows:
        missing = [name for name in row.names if name not in parameters]
        if missing:
            raise ValueError(f"the audit names {missing[0]}, which this {type(network).__name__} lacks")
        rate = row.learning_rate if row.own_learning_rate else lr
        found: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name in row.names:
            faster = row.lr_ratio is not None and id(parameters[name]) in second
            decays = _decays(name, parameters[name], decay_norms_and_magnitudes)
            found.setdefault((faster, decays), []).append(parameters[name])
        for (faster, decays), chosen in sorted(found.items(), key=lambda item: (item[0][0], not item[0][1])):
            factor = f"lr_x{row.lr_ratio:g}/" if faster else ""
            groups.append(
                {
                    "params": chosen,
                    "lr": rate * row.lr_ratio if faster else rate,
                    "weight_decay": weight_decay if decays else 0.0,
                    "name": f"{row.rule}/{row.method}/{factor}{'decay' if decays else 'no_decay'}",
                }
            )
    return groups


def _decays(name: str, parameter: nn.Parameter, vectors: bool) -> bool:
    leaf = name.rpartition(".")[2]
    if leaf == "bias" or leaf.endswith("_bias"):
        return False
    return vectors or parameter.ndim > 1
