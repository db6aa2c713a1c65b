"""Adapts a network in place: freeze everything, then give each part what its rule says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from vl_dora.adapters.audit import AdaptationAudit, AuditRow, PartTotal
from vl_dora.adapters.choice import Choice, choose
from vl_dora.adapters.initialization import deferred_start, start_principal
from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.layers import LAYERS, make_layers
from vl_dora.adapters.matching import Part, split_parts
from vl_dora.adapters.quantization import num_parameters, quantization_of
from vl_dora.adapters.reach import refuse_unreachable
from vl_dora.adapters.selection import Rule, read_selection


@dataclass(frozen=True)
class Adaptation:
    """What was asked of an adapted network and what came of it; kept on the network itself.

    Args:
        selection: part -> rule.
        parts: part -> module paths, as they were when the network was adapted.
        audit: what came of it.
    """

    selection: dict[str, Rule]
    parts: dict[str, tuple[str, ...]]
    audit: AdaptationAudit


def apply_adapters(
    network: nn.Module,
    selection: Mapping[str, Any],
    *,
    parts: Mapping[str, Sequence[str]] | None = None,
    default_lr: float | None = None,
    start: bool = True,
) -> AdaptationAudit:
    """Freezes a network, adapts its parts in place as selected, and says what trains.

    A selection that is refused leaves the network's modules as they were.

    Args:
        network: any module, a plain transformers model included; it may be on the meta device.
        selection: part -> method word or rule (see `vl_dora.adapters.selection`).
        parts: part -> module paths; None: the network's own `parts`, or one part `network`.
        default_lr: the learning rate shown for rules that set none.
        start: False: values are to be loaded next, so pissa layers stay without their start, which takes
            time and changes their bases.

    Raises:
        ValueError: the network already has adapters; a part, option or pattern that is unknown or
            matches nothing; rules that overlap; a linear layer whose weight is tied; one that no gradient
            reaches.
    """
    if adapted_layers(network):
        raise ValueError("the network already has adapters; start from a fresh one, or load_adapter into it")
    rules = read_selection(selection)
    paths = normal_parts(network, parts)
    found = split_parts(network, paths)
    choices = choose(network, rules, found)
    refuse_unreachable(network, choices)
    layers = _make(network, choices)
    if start:
        for layer in layers.values():
            start_principal(layer)
    network.requires_grad_(False)
    for path, layer in layers.items():
        owner, _, leaf = path.rpartition(".")
        setattr(network.get_submodule(owner), leaf, layer)
    trained = _trained(choices, layers)
    for _, parameters in trained:
        for parameter in parameters:
            parameter.requires_grad_(True)
    audit = _audit(network, trained, layers, found, default_lr)
    object.__setattr__(network, "adaptation", Adaptation(rules, paths, audit))
    return audit


def _make(network: nn.Module, choices: Sequence[Choice]) -> dict[str, AdaptedLayer]:
    """Path -> adapted layer, not yet in the network, which stays as it is when a layer cannot be made."""
    trained = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    layers: dict[str, AdaptedLayer] = {}
    try:
        with deferred_start():
            for choice in choices:
                if choice.kind in LAYERS:
                    layers |= _checked(choice)
    except BaseException:
        for parameter, needs in trained:
            parameter.requires_grad_(needs)
        raise
    return layers


def _checked(choice: Choice) -> dict[str, AdaptedLayer]:
    options = choice.rule.layer_options()
    try:
        return make_layers(choice.kind, choice.modules, options, choice.rule.quantization)
    except ValueError as error:
        raise ValueError(f"{choice.where}: {error}") from None


def adapted_layers(network: nn.Module) -> dict[str, AdaptedLayer]:
    """Path -> adapted layer, in the network's order."""
    return {path: module for path, module in network.named_modules() if isinstance(module, AdaptedLayer)}


def adaptation_of(network: nn.Module) -> Adaptation:
    """The record that `apply_adapters` left on a network.

    Raises:
        ValueError: the network was not adapted.
    """
    adaptation = getattr(network, "adaptation", None)
    if not isinstance(adaptation, Adaptation):
        raise ValueError(f"this {type(network).__name__} has no adapters; call apply_adapters first")
    return adaptation


def normal_parts(network: nn.Module, parts: Mapping[str, Sequence[str]] | None) -> dict[str, tuple[str, ...]]:
    """Part -> module paths: as given, else the network's own, else one part `network`."""
    given = parts or getattr(network, "parts", None) or {"network": ("",)}
    return {str(name): (p,) if isinstance(p, str) else tuple(p) for name, p in given.items()}


def _trained(
    choices: Sequence[Choice], layers: Mapping[str, AdaptedLayer]
) -> list[tuple[Choice, list[nn.Parameter]]]:
    """Each choice with what it trains; a tensor belongs to the first choice that names it."""
    taken: set[int] = set()
    result = []
    for choice in choices:
        if choice.kind in LAYERS:
            wanted: Iterable[nn.Parameter] = (
                parameter for path in choice.modules for parameter in layers[path].parameters(recurse=False)
            )
        else:
            wanted = choice.parameters
        fresh = []
        for parameter in wanted:
            if id(parameter) not in taken:
                taken.add(id(parameter))
                fresh.append(parameter)
        if fresh or choice.kind not in ("biases", "layer_norms"):
            result.append((choice, fresh))
    return result


def _held(choice: Choice, layers: Mapping[str, AdaptedLayer]) -> str | None:
    """How the weights that a rule adapts are held; on the meta device, how they would be."""
    if choice.kind not in LAYERS:
        return None
    words = {quantization_of(layers[path].base) or choice.rule.quantization for path in choice.modules}
    return ", ".join(sorted(word for word in words if word is not None)) or None


def _audit(
    network: nn.Module,
    trained: Sequence[tuple[Choice, list[nn.Parameter]]],
    layers: Mapping[str, AdaptedLayer],
    parts: Mapping[str, Part],
    default_lr: float | None,
) -> AdaptationAudit:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    total = sum(num_parameters(parameter) for parameter in network.parameters())
    rows = []
    for choice, parameters in trained:
        count = sum(parameter.numel() for parameter in parameters)
        rate = choice.rule.lr if choice.rule.lr is not None else default_lr
        rows.append(
            AuditRow(
                part=choice.part.name,
                rule=choice.name,
                method=choice.kind,
                layers=choice.rule.layers if choice.kind == choice.rule.method else None,
                modules=len(parameters) if choice.kind == "biases" else len(choice.modules),
                rank=choice.rule.rank if choice.kind == choice.rule.method else None,
                trainable=count,
                learning_rate=rate if count else None,
                dtype=", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in parameters})) or "-",
                share_percent=100.0 * count / total if total else 0.0,
                names=tuple(names[id(parameter)] for parameter in parameters),
                own_learning_rate=choice.rule.lr is not None,
                lr_ratio=choice.rule.lr_ratio if choice.kind == choice.rule.method else None,
                quantization=_held(choice, layers),
            )
        )
    totals = {}
    for name, part in parts.items():
        own = [row.trainable for row in rows if row.part == name]
        added = (
            parameter.numel()
            for path, layer in layers.items()
            if path in part.modules
            for parameter in layer.parameters(recurse=False)
        )
        totals[name] = PartTotal(sum(own), sum(map(num_parameters, part.parameters.values())) + sum(added))
    return AdaptationAudit(tuple(rows), totals, sum(row.trainable for row in rows), total)
