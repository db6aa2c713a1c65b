"""From rules to modules: what every rule of a selection means, checked before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from vl_dora.adapters.layers import LAYERS, adaptable, adapts, check_options
from vl_dora.adapters.matching import Part, complain, matches, shorten
from vl_dora.adapters.options import check_values
from vl_dora.adapters.quantization import check_available
from vl_dora.adapters.selection import Rule


@dataclass(frozen=True)
class Choice:
    """One rule and what it means.

    Args:
        name: the part, and the name under `also` after a dot.
        part: where it applies.
        rule: what is to be done.
        kind: the rule's method, or "biases" or "layer_norms".
        modules: path in the network -> module that the rule trains or adapts.
        parameters: the existing parameters that train; empty for methods that bring their own.
    """

    name: str
    part: Part
    rule: Rule
    kind: str
    modules: Mapping[str, nn.Module]
    parameters: tuple[nn.Parameter, ...] = ()

    @property
    def where(self) -> str:
        """The config key that the rule stands under."""
        return "adapter." + self.name.replace(".", ".also.", 1)


def choose(network: nn.Module, rules: Mapping[str, Rule], parts: Mapping[str, Part]) -> list[Choice]:
    """What every rule means, in the order of the network's parts; parts without a rule are frozen.

    Raises:
        ValueError: a rule for a part that is not there, a pattern that matches nothing, a value
            that a layer cannot have, rules that overlap, or a layer that cannot be adapted.
    """
    for name, rule in rules.items():
        if name not in parts and (rule.method != "frozen" or rule.biases or rule.layer_norms or rule.also):
            raise ValueError(f"adapter.{name}: the network has no part {name!r}; it has: {', '.join(parts)}")
    choices: list[Choice] = []
    for part in parts.values():
        rule = rules.get(part.name, Rule())
        choices.append(_choose(f"adapter.{part.name}", part.name, part, rule, parts))
        for name, nested in rule.also.items():
            where = f"adapter.{part.name}.also.{name}"
            choices.append(_choose(where, f"{part.name}.{name}", part, nested, parts))
        if rule.biases:
            choices.append(_biases(part, rule))
        if rule.layer_norms:
            choices.append(_layer_norms(part, rule))
    _refuse_overlap(choices)
    _refuse_unfit(network, choices)
    return choices


def _choose(where: str, name: str, part: Part, rule: Rule, parts: Mapping[str, Part]) -> Choice:
    if rule.method == "frozen":
        return Choice(name, part, rule, "frozen", {})
    if rule.method == "full" and rule.layers is None:
        owners = {
            path: m for path, m in part.modules.items() if next(m.parameters(recurse=False), None) is not None
        }
        _refuse_whole_numbers(where, part, part.parameters.values())
        return Choice(name, part, rule, "full", owners, tuple(part.parameters.values()))
    if rule.layers is None:
        found = {path for path, module in part.modules.items() if path and isinstance(module, nn.Linear)}
        if not found:
            raise ValueError(f"{where}.method={rule.method} finds no nn.Linear in {part.name}")
    else:
        found = _named(where, part, rule, parts)
    modules = {path: module for path, module in part.modules.items() if path in found}
    if rule.method == "full":
        parameters = tuple(p for module in modules.values() for p in module.parameters())
        if not parameters:
            raise ValueError(
                f"{where}.layers={list(rule.layers or ())} matches only modules without parameters"
            )
        _refuse_whole_numbers(where, part, parameters)
        return Choice(name, part, rule, "full", modules, parameters)
    _check_values(where, rule, modules)
    return Choice(name, part, rule, rule.method, modules)


def _named(where: str, part: Part, rule: Rule, parts: Mapping[str, Part]) -> set[str]:
    """Paths of the modules that the rule's patterns mean; every pattern means at least one."""
    full = rule.method == "full"

    def fits(module: nn.Module) -> bool:
        return full or adapts(rule.method, module)

    found: set[str] = set()
    for pattern, paths in matches(part, rule.layers or (), fits).items():
        if not paths:
            kinds = "module" if full else adaptable(rule.method).replace(", ", " or ")
            complain(f"{where}.layers", pattern, part, parts.values(), fits, kinds)
        found.update(paths)
    return found


def _check_values(where: str, rule: Rule, modules: Mapping[str, nn.Module]) -> None:
    options = rule.layer_options()
    try:
        check_values(rule.options())
        for module in modules.values():
            check_options(rule.method, module, options, rule.quantization)
        if rule.quantization is not None and not all(m.weight.is_meta for m in modules.values()):
            check_available(f"quantization={rule.quantization!r}")
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def _refuse_whole_numbers(where: str, part: Part, parameters: Iterable[nn.Parameter]) -> None:
    whole = {id(parameter) for parameter in parameters if not parameter.is_floating_point()}
    if whole:
        names = [name for name, parameter in part.parameters.items() if id(parameter) in whole]
        raise ValueError(
            f"{where}.method=full cannot train the quantized weights {shorten(names)}; adapt them with "
            f"lora or dora, or name others in {where}.layers"
        )


def _biases(part: Part, rule: Rule) -> Choice:
    found = tuple(
        parameter
        for name, parameter in part.parameters.items()
        if name.rpartition(".")[2] == "bias" or name.endswith("_bias")
    )
    if not found:
        raise ValueError(f"adapter.{part.name}.biases=true finds no bias in {part.name}")
    return Choice(part.name, part, rule, "biases", {}, found)


def _layer_norms(part: Part, rule: Rule) -> Choice:
    found = {path: module for path, module in part.modules.items() if isinstance(module, nn.LayerNorm)}
    if not found:
        kinds = shorten(sorted({type(module).__name__ for module in part.modules.values()}))
        raise ValueError(
            f"adapter.{part.name}.layer_norms=true finds no nn.LayerNorm in {part.name}; it has: {kinds}"
        )
    parameters = tuple(p for module in found.values() for p in module.parameters(recurse=False))
    return Choice(part.name, part, rule, "layer_norms", found, parameters)


def _refuse_overlap(choices: list[Choice]) -> None:
    owner: dict[int, Choice] = {}
    for choice in choices:
        if choice.kind in ("biases", "layer_norms"):
            continue
        claimed = choice.parameters or tuple(p for m in choice.modules.values() for p in m.parameters())
        for parameter in claimed:
            first = owner.setdefault(id(parameter), choice)
            if first is not choice:
                path = next(n for n, p in choice.part.parameters.items() if p is parameter)
                raise ValueError(
                    f"the rules {first.where} ({first.kind}) and {choice.where} ({choice.kind}) both "
                    f"reach {path}; give each layer one rule"
                )


def _refuse_unfit(network: nn.Module, choices: list[Choice]) -> None:
    places: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(name)
    for choice in choices:
        if choice.kind not in LAYERS:
            continue
        for path, module in choice.modules.items():
            tied = [name for name in places[id(module.weight)] if name != f"{path}.weight"]
            if tied:
                raise ValueError(
                    f"{choice.where}: {path} shares its weight with {', '.join(tied)}, and "
                    f"{choice.kind} would tear them apart; name others in {choice.where}.layers"
                )
            owner = network.get_submodule(path.rpartition(".")[0])
            if isinstance(owner, nn.MultiheadAttention):
                raise ValueError(
                    f"{choice.where}: {path} belongs to an nn.MultiheadAttention, which reads the "
                    f"weight itself and passes the adapter by; name others in {choice.where}.layers"
                )
