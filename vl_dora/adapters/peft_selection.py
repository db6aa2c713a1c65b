"""From a directory that PEFT wrote to the selection that makes the same adapters here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from vl_dora.adapters.apply import normal_parts
from vl_dora.adapters.contents import LOW_RANK, PREFIX
from vl_dora.adapters.layers import adaptable, adapts
from vl_dora.adapters.matching import Part, match, shorten, split_parts
from vl_dora.adapters.peft_config import method_of, rank_and_alpha, targeted
from vl_dora.adapters.peft_vera import vera_rule

# One key of every adapted layer ends so.
ENDINGS = (*LOW_RANK, ".vera_lambda_b")


def read_selection_of(
    network: nn.Module,
    config: Mapping[str, Any],
    keys: Iterable[str],
    names: Mapping[str, str],
    file: str,
) -> dict[str, Any]:
    """The selection that a directory written by PEFT stands for in this network.

    Args:
        network: the base, not adapted.
        config: PEFT's adapter_config.json.
        keys: of its tensors, under today's names.
        names: module path -> its name in the config (`renaming.names_in_file`).
        file: for the messages.

    Raises:
        ValueError: modules named in config and tensors differ, or the network lacks them.
    """
    method = method_of(config)
    found = [(key.removeprefix(PREFIX), ending) for key in keys for ending in ENDINGS if key.endswith(ending)]
    ends = [key.removesuffix(ending) for key, ending in found]
    modules = dict(network.named_modules())
    can = {path for path, module in modules.items() if path and adapts(method, module)}
    lacking = [path for path in ends if path not in can]
    if lacking:
        kinds = adaptable(method).replace(", ", " or ")
        raise ValueError(
            f"{file} is of another network: {lacking[0]} is no {kinds} of this {type(network).__name__}; "
            f"it has: {shorten(path for path in modules if path in can)}"
        )
    untold = [
        path for path in modules if path and (path in can and targeted(config, names[path])) != (path in ends)
    ]
    if untold:
        raise ValueError(
            f"{file}: adapter_config.json and adapter_model.safetensors disagree about {shorten(untold)}; "
            f"target_modules={config.get('target_modules')!r}"
        )
    saved = config.get("modules_to_save") or []
    whole = [path for path in modules if path and any(names[path].endswith(name) for name in saved)]
    selection = {}
    for part in split_parts(network, normal_parts(network, None)).values():
        inside = [path for path in ends if path in part.modules]
        groups: dict[str, dict[str, Any]] = {}
        for path in inside:
            rank, alpha = rank_and_alpha(config, names[path])
            # PEFT has a dropout beside embeddings too, and does not use it there.
            table = isinstance(modules[path], nn.Embedding)
            told = {**config, "lora_dropout": None} if table else config
            name = f"{'tables_' if table else ''}rank_{rank}_alpha_{alpha:g}".replace(".", "_")
            groups.setdefault(name, {"paths": [], "rank": rank, "alpha": alpha, "config": told})
            groups[name]["paths"].append(path)
        rules = {name: _rule(part, method=method, **group) for name, group in groups.items()}
        rule = next(iter(rules.values()), {"method": "frozen"})
        also = dict(list(rules.items())[1:])
        full = [path for path in whole if path in part.modules]
        if full:
            patterns = exact_patterns(part, full, nn.Module)
            also["modules_to_save"] = {"method": "full", "layers": patterns}
        if method == "vera" and 0 < len(inside) < len(ends):
            raise ValueError(
                f"{file} has VeRA layers inside and outside the part {part.name}, all over one pair of "
                f"matrices; here a pair belongs to one rule and lies within one part"
            )
        biases = config.get("bias") == "all" and any(n.endswith("bias") for n in part.parameters)
        selection[part.name] = {**rule, "also": also, "biases": biases}
    return selection


def exact_patterns(part: Part, paths: Sequence[str], kind: type[nn.Module]) -> list[str]:
    """Patterns that mean these modules and no others of the part: leaf names where they suffice."""
    known = {
        path: part.inside[path]
        for path, m in part.modules.items()
        if path and (isinstance(m, kind) or adapts("lora", m))
    }

    def meant(patterns: Iterable[str]) -> set[str]:
        patterns = list(patterns)
        return {path for path, local in known.items() if any(match(p, local) for p in patterns)}

    leaves = sorted({part.inside[path].rpartition(".")[2] for path in paths})
    if meant(leaves) == set(paths):
        return leaves
    local = [part.inside[path] for path in paths]
    return local if meant(local) == set(paths) else [f"(?:{re.escape(path)})" for path in local]


def _rule(
    part: Part, paths: list[str], method: str, rank: int, alpha: float, config: Mapping[str, Any]
) -> dict[str, Any]:
    layers = exact_patterns(part, paths, nn.Linear)
    if method == "vera":
        return {**vera_rule(config), "layers": layers}
    rule: dict[str, Any] = {"method": method, "layers": layers, "rank": rank, "alpha": alpha}
    if config.get("use_rslora"):
        rule["rslora"] = True
    if config.get("lora_dropout"):
        rule["dropout"] = config["lora_dropout"]
        if method == "dora":
            rule["dropout_mode"] = "reference"
    return rule
