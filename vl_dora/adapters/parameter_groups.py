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
        rate = lr if not row.own_learning_rate or row.learning_rate is None else row.learning_rate
        found: dict[tuple[float | None, bool], list[nn.Parameter]] = {}
        for name in row.names:
            ratio = row.lr_ratio if id(parameters[name]) in second else None
            decays = _decays(name, parameters[name], decay_norms_and_magnitudes)
            found.setdefault((ratio, decays), []).append(parameters[name])
        for ratio, decays in sorted(found, key=lambda key: (key[0] is not None, not key[1])):
            words = [row.rule, row.method, "decay" if decays else "no_decay"]
            groups.append(
                {
                    "params": found[ratio, decays],
                    "lr": rate if ratio is None else rate * ratio,
                    "weight_decay": weight_decay if decays else 0.0,
                    "name": "/".join(words if ratio is None else [*words, f"lr_x{ratio:g}"]),
                }
            )
    return groups


def _decays(name: str, parameter: nn.Parameter, vectors: bool) -> bool:
    leaf = name.rpartition(".")[2]
    if leaf == "bias" or leaf.endswith("_bias"):
        return False
    return vectors or parameter.ndim > 1
