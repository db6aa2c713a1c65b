"""`adapter_config.json`: PEFT's words for what was adapted, both ways."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from vl_dora.adapters.apply import adapted_layers, normal_parts
from vl_dora.adapters.contents import FILLER_RANK, LOW_RANK_A, PREFIX, whole_modules
from vl_dora.adapters.dora import DoRALinear
from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.lora import LoRALinear
from vl_dora.adapters.matching import Part, match, shorten, split_parts

# Options that change what the tensors mean, and the values under which this room reads them right.
READABLE: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_rslora": (False, None),
    "fan_in_fan_out": (False, None),
    "bias": ("none", "all", None),
    "lora_bias": (False, None),
    "use_qalora": (False, None),
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
    "layers_to_transform": (None, []),
    "layer_replication": (None, []),
    "exclude_modules": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "alora_invocation_tokens": (None, []),
    "use_bdlora": (None, False),
    "arrow_config": (None, {}),
}


def write_config(network: nn.Module) -> dict[str, Any]:
    """The config with which PEFT puts the same adapters on the same base."""
    layers = adapted_layers(network)
    shape = {path: _rank_and_alpha(layer) for path, layer in layers.items()}
    common = Counter(shape.values()).most_common(1)[0][0] if shape else (8, 8)
    dropouts = {layer.dropout.p for layer in layers.values() if isinstance(layer, LoRALinear | DoRALinear)}
    base = getattr(getattr(network, "config", None), "name_or_path", None)
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base or None,
        "inference_mode": True,
        "use_dora": any(layer.method != "lora" for layer in layers.values()),
        "r": common[0],
        "lora_alpha": common[1],
        "lora_dropout": dropouts.pop() if len(dropouts) == 1 else 0.0,
        "use_rslora": False,
        "target_modules": _targets(network, layers),
        "modules_to_save": whole_modules(network) or None,
        "rank_pattern": {f"^{re.escape(p)}": r for p, (r, _) in shape.items() if r != common[0]},
        "alpha_pattern": {f"^{re.escape(p)}": a for p, (_, a) in shape.items() if a != common[1]},
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
    }


def rank_and_alpha(config: Mapping[str, Any], path: str) -> tuple[int, float]:
    """r and alpha that PEFT gives to the module at `path`."""
    found = []
    for patterns, default in (("rank_pattern", "r"), ("alpha_pattern", "lora_alpha")):
        pairs = (config.get(patterns) or {}).items()
        hits = [value for key, value in pairs if re.match(rf"(.*\.)?({key})$", path)]
        found.append(hits[0] if hits else config.get(default, 8))
    return found[0], found[1]


def check_readable(config: Mapping[str, Any], file: str) -> None:
    """Stops on options that give the tensors another meaning.

    Raises:
        ValueError: such an option is set.
    """
    for option, allowed in READABLE.items():
        value = config.get(option)
        if option in config and value not in allowed:
            words = ", ".join(repr(word) for word in allowed)
            raise ValueError(f"{file}: {option}={value!r} cannot be read here; allowed: {words}")
    if config.get("peft_type") is None:
        raise ValueError(f"{file}: peft_type is missing; a LoRA or DoRA directory of PEFT has LORA there")


def read_selection_of(
    network: nn.Module, config: Mapping[str, Any], keys: Iterable[str], file: str
) -> dict[str, Any]:
    """The selection that a directory written by PEFT stands for in this network.

    Raises:
        ValueError: modules named in config and tensors differ, or the network lacks them.
    """
    ends = [key.removeprefix(PREFIX).removesuffix(LOW_RANK_A) for key in keys if key.endswith(LOW_RANK_A)]
    modules = dict(network.named_modules())
    lacking = [path for path in ends if not isinstance(modules.get(path), nn.Linear)]
    if lacking:
        linears = shorten(path for path, module in modules.items() if isinstance(module, nn.Linear))
        raise ValueError(
            f"{file} is of another network: {lacking[0]} is no nn.Linear of this {type(network).__name__}; "
            f"it has: {linears}"
        )
    untold = [path for path in modules if path and _targeted(config, path, modules[path]) != (path in ends)]
    if untold:
        raise ValueError(
            f"{file}: adapter_config.json and adapter_model.safetensors disagree about {shorten(untold)}; "
            f"target_modules={config.get('target_modules')!r}"
        )
    method = "dora" if config.get("use_dora") else "lora"
    saved = config.get("modules_to_save") or []
    whole = [path for path in modules if path and any(path.endswith(name) for name in saved)]
    selection = {}
    for part in split_parts(network, normal_parts(network, None)).values():
        inside = [path for path in ends if path in part.modules]
        groups: dict[tuple[int, float], list[str]] = {}
        for path in inside:
            groups.setdefault(rank_and_alpha(config, path), []).append(path)
        rules = [_rule(part, paths, method, rank, alpha, config) for (rank, alpha), paths in groups.items()]
        rule = rules[0] if rules else {"method": "frozen"}
        also = {f"rank_{r['rank']}_alpha_{r['alpha']:g}".replace(".", "_"): r for r in rules[1:]}
        full = [path for path in whole if path in part.modules]
        if full:
            patterns = exact_patterns(part, full, nn.Module)
            also["modules_to_save"] = {"method": "full", "layers": patterns}
        biases = config.get("bias") == "all" and any(n.endswith("bias") for n in part.parameters)
        selection[part.name] = {**rule, "also": also, "biases": biases}
    return selection


def exact_patterns(part: Part, paths: Sequence[str], kind: type[nn.Module]) -> list[str]:
    """Patterns that mean these modules and no others of the part: leaf names where they suffice."""
    known = {path: part.inside[path] for path, m in part.modules.items() if path and isinstance(m, kind)}

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
    rule = {"method": method, "layers": exact_patterns(part, paths, nn.Linear), "rank": rank, "alpha": alpha}
    if config.get("lora_dropout"):
        rule["dropout"] = config["lora_dropout"]
        if method == "dora":
            rule["dropout_mode"] = "reference"
    return rule


def _rank_and_alpha(layer: AdaptedLayer) -> tuple[int, float]:
    return getattr(layer, "rank", FILLER_RANK), getattr(layer, "alpha", FILLER_RANK)


def _targets(network: nn.Module, layers: Mapping[str, AdaptedLayer]) -> list[str] | str:
    inner = tuple(f"{path}." for path in layers)
    paths = [p for p, _ in network.named_modules() if p and not p.startswith(inner or ("\0",))]
    full = sorted(layers)
    for targets in (sorted({path.rpartition(".")[2] for path in layers}), full):
        config = {"target_modules": targets}
        if {path for path in paths if _targeted(config, path, None)} == set(layers):
            return targets
    return "^(?:" + "|".join(re.escape(path) for path in full) + ")$"


def _targeted(config: Mapping[str, Any], path: str, module: nn.Module | None) -> bool:
    """PEFT's rule of `target_modules`."""
    if module is not None and not isinstance(module, nn.Linear):
        return False
    for saved in config.get("modules_to_save") or []:
        if re.match(rf"(^|.*\.){saved}($|\..*)", path):
            return False
    targets = config.get("target_modules")
    if isinstance(targets, str):
        return re.fullmatch(targets, path) is not None
    return any(path == target or path.endswith("." + target) for target in targets or [])
