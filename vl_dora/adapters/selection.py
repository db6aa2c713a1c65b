"""The selection: which method each part of a network, and each pattern inside a part, gets.

    vision: frozen                # a part -> a method word, or a rule
    language:
      method: dora                # frozen | full | lora | dora | magnitude | vera | dvora
      layers: [q_proj, v_proj]    # suffixes on dot boundaries, or regexes; null = every nn.Linear
      rank: 8
      also:                       # further patterns in the same part, each its own rule
        mlp: {method: magnitude, layers: [fc1, fc2]}

A part that is not named is frozen. A method word alone takes rank, alpha and the like from the part that has
the same method in full: `projector: dora` beside a language part with DoRA is of its rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from vl_dora.adapters.options import METHODS, OF_THE_RULE, OPTIONS


@dataclass(frozen=True)
class Rule:
    """What happens to one part of a network, or to one pattern inside it.

    None means: the method's own default.

    Args:
        method: frozen, full, lora, dora, magnitude, vera or dvora.
        layers: suffixes on dot boundaries, or regexes that match the whole module path inside
            the part; None: every nn.Linear of the part (full: every parameter of the part).
        rank: r of every method but magnitude, which all need it.
        alpha: numerator of the scale alpha / r; default: the rank, so that the scale is 1.
        dropout: drop probability on the adapter's input; default 0.
        dropout_mode: branch (default) or reference.
        norm_gradient: detached (default) or full.
        merged_forward: auto (default), always or never: whether training holds dora's whole weight for
            one optimizer step (see `DoRALinear`).
        rslora: the scale is alpha / sqrt(rank) instead.
        init: where A and B start: kaiming (default; embeddings have A = 0 and a normal B), gaussian or
            pissa.
        projection_seed: of the random matrices that the rule's vera or dvora layers share; default 0.
        d_initial: where vera's and dvora's vector d starts; default 0.1.
        lr_ratio: LoRA+ (arXiv:2402.12354): learning rate of B over that of everything else of the
            rule; default 1.
        quantization: nf4 or int8: the weights of the rule's nn.Linear are rounded to 4 or 8 bits, by
            bitsandbytes, before they are adapted; None: they stay as they are.
        lr: learning rate of what this rule trains; None: the run's.
        biases: additionally train every bias of the part.
        layer_norms: additionally train weight and bias of every nn.LayerNorm of the part.
        also: name -> further rule inside the same part.
    """

    method: str = "frozen"
    layers: tuple[str, ...] | None = None
    rank: int | None = None
    alpha: float | None = None
    dropout: float | None = None
    dropout_mode: str | None = None
    norm_gradient: str | None = None
    merged_forward: str | None = None
    rslora: bool | None = None
    init: str | None = None
    projection_seed: int | None = None
    d_initial: float | None = None
    lr_ratio: float | None = None
    quantization: str | None = None
    lr: float | None = None
    biases: bool = False
    layer_norms: bool = False
    also: Mapping[str, Rule] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        """The options of the rule's method, without those left at their default."""
        values = {name: getattr(self, name) for name in OPTIONS[self.method]}
        return {name: value for name, value in values.items() if value is not None}

    def layer_options(self) -> dict[str, Any]:
        """Keyword arguments of the method's layer class, without those left at their default."""
        options = {name: value for name, value in self.options().items() if name not in OF_THE_RULE}
        if "rank" in options and "alpha" in OPTIONS[self.method]:
            options.setdefault("alpha", options["rank"])
        return options

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain JSON types, without what is left at its default."""
        plain: dict[str, Any] = {"method": self.method}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "also":
                value = {name: rule.to_dict() for name, rule in value.items()} or None
            if item.name != "method" and value is not None and value is not False:
                plain[item.name] = list(value) if isinstance(value, tuple) else value
        return plain


def read_selection(selection: Mapping[str, Any]) -> dict[str, Rule]:
    """Part -> rule, out of a config mapping.

    Args:
        selection: part -> method word, mapping of `Rule` fields, `Rule`, or None (frozen).

    Raises:
        ValueError: an unknown method or option, one that the method does not have, or a value
            of the wrong kind; the sentence names the config key and what is allowed.
    """
    if not isinstance(selection, Mapping):
        raise ValueError(f"adapter={selection!r} must be a mapping of parts to methods or rules")
    return {
        str(part): _read_rule(f"adapter.{part}", _in_full(value, selection))
        for part, value in selection.items()
    }


def _in_full(value: Any, selection: Mapping[str, Any]) -> Any:
    """A word for a method that needs a rank, with the options of the first other part that has the method."""
    if not isinstance(value, str) or "rank" not in OPTIONS.get(value, ()):
        return value
    for other in selection.values():
        options = {i.name: getattr(other, i.name) for i in fields(Rule)} if isinstance(other, Rule) else other
        if isinstance(options, Mapping) and options.get("method") == value:
            return {"method": value, **{n: options.get(n) for n in OPTIONS[value] if n != "layers"}}
    return value


def _read_rule(where: str, value: Any) -> Rule:
    if value is None or isinstance(value, str):
        value = {"method": value or "frozen"}
    if isinstance(value, Rule):
        value = {item.name: getattr(value, item.name) for item in fields(Rule)}
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}={value!r} must be one of {', '.join(METHODS)}, or a mapping of options")
    allowed = [item.name for item in fields(Rule)]
    unknown = sorted(str(key) for key in value if key not in allowed)
    if unknown:
        raise ValueError(f"{where} has no option {', '.join(unknown)}; allowed: {', '.join(allowed)}")
    options = dict(value)
    if options.get("method") not in METHODS:
        raise ValueError(
            f"{where}.method={options.get('method')!r} is unknown; allowed: {', '.join(METHODS)}"
        )
    options["layers"] = _read_layers(where, options.get("layers"))
    for switch in ("biases", "layer_norms"):
        options[switch] = _read_switch(f"{where}.{switch}", options.get(switch))
    _check_learning_rate(f"{where}.lr", options.get("lr"))
    further = options.get("also") or {}
    if not isinstance(further, Mapping):
        raise ValueError(f"{where}.also={further!r} must be a mapping of names to rules")
    options["also"] = {
        str(name): _read_nested(f"{where}.also.{name}", nested)
        for name, nested in further.items()
        if nested is not None
    }
    rule = Rule(**options)
    _check_applicable(where, rule)
    return rule


def _read_nested(where: str, value: Any) -> Rule:
    rule = _read_rule(where, value)
    for name in ("biases", "layer_norms", "also"):
        if getattr(rule, name):
            raise ValueError(f"{where}.{name} is an option of a whole part; set it one level up")
    return rule


def _check_applicable(where: str, rule: Rule) -> None:
    own = OPTIONS[rule.method]
    for name in dict.fromkeys(name for names in OPTIONS.values() for name in names):
        if getattr(rule, name) is not None and name not in own:
            known = ", ".join((*own, "lr", "biases", "layer_norms", "also"))
            raise ValueError(
                f"{where}.{name}={getattr(rule, name)!r} means nothing to method {rule.method}, "
                f"which has: {known}; leave it out or null"
            )
    if "rank" in own and rule.rank is None:
        raise ValueError(f"{where}.rank is missing; method {rule.method} needs a whole number of at least 1")


def _read_layers(where: str, layers: Any) -> tuple[str, ...] | None:
    if layers is None:
        return None
    patterns = [layers] if isinstance(layers, str) else layers
    if not isinstance(patterns, Sequence) or not all(isinstance(p, str) and p for p in patterns):
        raise ValueError(f"{where}.layers={layers!r} must be a list of module names or regexes")
    if not patterns:
        raise ValueError(f"{where}.layers is empty; name layers, or set null for all of them")
    return tuple(patterns)


def _read_switch(where: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{where}={value!r} must be true or false")
    return bool(value)


def _check_learning_rate(where: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{where}={value!r} must be a number of at least 0, or null for the run's rate")
