"""`adapter_config.json`: PEFT's words for what was adapted.

PEFT's `use_rslora` holds for a whole directory. Where only some layers scale by 1/sqrt(r), it is left off
and those layers get the alpha that gives the same scale.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import nn

from vl_dora.adapters.apply import adapted_layers
from vl_dora.adapters.contents import LOW_RANK, MAGNITUDE, low_rank, whole_modules
from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.peft_vera import PEFT_TYPE, is_vera, vera_options
from vl_dora.adapters.renaming import name_in_file, names_in_file

# Options that change what the tensors mean, and the values under which this room reads them right.
READABLE: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA", PEFT_TYPE),
    "use_rslora": (False, True, None),
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
    base = getattr(getattr(network, "config", None), "name_or_path", None)
    shared = {
        "task_type": None,
        "base_model_name_or_path": base or None,
        "inference_mode": True,
        "target_modules": _targets(network, layers),
        "modules_to_save": [name_in_file(network, path) for path in whole_modules(network)] or None,
        "bias": "none",
        "fan_in_fan_out": False,
    }
    if is_vera(layers):
        return {**vera_options(layers), **shared}
    low = {path: layer for path, layer in layers.items() if low_rank(layer) is not None}
    rslora = bool(low) and all(_scales_by_root(layer) for layer in low.values())
    shape = {path: (low_rank(layer), _alpha(layer, rslora)) for path, layer in low.items()}
    fillers = {path: _filler_rank(layer) for path, layer in layers.items() if path not in low}
    smallest = min(fillers.values(), default=1)
    common = Counter(shape.values()).most_common(1)[0][0] if shape else (smallest, smallest)
    # A filler's product is zero, whatever its scale.
    shape |= {path: (rank, common[1]) for path, rank in fillers.items()}
    shape = {name_in_file(network, path): pair for path, pair in shape.items()}
    # Embeddings have none.
    drops = (getattr(layer, "dropout", None) for layer in low.values())
    dropouts = {drop.p for drop in drops if isinstance(drop, nn.Dropout)}
    return {
        "peft_type": "LORA",
        "use_dora": any(MAGNITUDE in layer.file_entries() for layer in layers.values()),
        "r": common[0],
        "lora_alpha": common[1],
        "lora_dropout": dropouts.pop() if len(dropouts) == 1 else 0.0,
        "use_rslora": rslora,
        "rank_pattern": {f"^{re.escape(p)}": r for p, (r, _) in shape.items() if r != common[0]},
        "alpha_pattern": {f"^{re.escape(p)}": a for p, (_, a) in shape.items() if a != common[1]},
        "init_lora_weights": True,
        **shared,
    }


def rank_and_alpha(config: Mapping[str, Any], path: str) -> tuple[int, float]:
    """r and alpha that PEFT gives to the module at `path`."""
    found = []
    for patterns, default in (("rank_pattern", "r"), ("alpha_pattern", "lora_alpha")):
        pairs = (config.get(patterns) or {}).items()
        hits = [value for key, value in pairs if re.match(rf"(.*\.)?({key})$", path)]
        found.append(hits[0] if hits else config.get(default, 8))
    return found[0], found[1]


def scale_of(config: Mapping[str, Any], rank: int, alpha: float) -> float:
    """s as PEFT computes it: alpha / r, with `use_rslora` alpha / sqrt(r)."""
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


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


def method_of(config: Mapping[str, Any]) -> str:
    """The method of the layers of a directory that PEFT wrote."""
    if config.get("peft_type") == PEFT_TYPE:
        return "vera"
    return "dora" if config.get("use_dora") else "lora"


def targeted(config: Mapping[str, Any], path: str) -> bool:
    """PEFT's rule of `target_modules`, for a module's name in the file."""
    for saved in config.get("modules_to_save") or []:
        if re.match(rf"(^|.*\.){saved}($|\..*)", path):
            return False
    targets = config.get("target_modules")
    if isinstance(targets, str):
        return re.fullmatch(targets, path) is not None
    return any(path == target or path.endswith("." + target) for target in targets or [])


def _filler_rank(layer: AdaptedLayer) -> int:
    fillers = layer.zero_factors()
    return next(fillers[ending].shape[0] for ending in LOW_RANK if ending in fillers)


def _scales_by_root(layer: AdaptedLayer) -> bool:
    # A start that is written with twice the rank has no alpha over the root of its own rank.
    return bool(getattr(layer, "rslora", False)) and low_rank(layer) == layer.rank


def _alpha(layer: AdaptedLayer, rslora: bool) -> float:
    rank = low_rank(layer)
    assert rank is not None
    if rank == layer.rank and rslora == bool(getattr(layer, "rslora", False)):
        return layer.alpha
    return layer.scale * rank


def _targets(network: nn.Module, layers: Mapping[str, AdaptedLayer]) -> list[str] | str:
    inner = tuple(f"{path}." for path in layers)
    files = names_in_file(network, ())
    names = [files[p] for p, _ in network.named_modules() if files[p] and not p.startswith(inner or ("\0",))]
    full = sorted(name_in_file(network, path) for path in layers)
    for targets in (sorted({path.rpartition(".")[2] for path in layers}), full):
        config = {"target_modules": targets}
        if {name for name in names if targeted(config, name)} == set(full):
            return targets
    return "^(?:" + "|".join(re.escape(path) for path in full) + ")$"
