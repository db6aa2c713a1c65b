"""The LLM fork: DoRA inside a copy of PEFT 0.3 (language models, commonsense reasoning).

A directory: `adapter_config.json` (peft_type DORA; r, lora_alpha, lora_dropout, dora_simple) and
`adapter_model.bin` with, below `base_model.model.` + module path,
    lora_A.weight (r, i), lora_B.weight (o, r), weight_m_wdecomp.weight (o, 1)   DoRA
    weight_m_wdecomp.weight (o, 1) alone                                        magnitude only
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vl_dora.adapters.importers.axis import output_magnitude
from vl_dora.adapters.importers.fork_names import PREFIX, module_here, number, rules_of
from vl_dora.adapters.importers.placing import Foreign
from vl_dora.adapters.importers.stored import Stored
from vl_dora.adapters.matching import shorten

MAGNITUDE = ".weight_m_wdecomp.weight"
_PARAMETERS = {".lora_A.weight": "lora_a", ".lora_B.weight": "lora_b", MAGNITUDE: "magnitude"}


def recognises(stored: Stored) -> bool:
    """Whether magnitudes lie in the adapter file itself."""
    return any(key.endswith(MAGNITUDE) for key in stored.tensors)


def read(network: nn.Module, stored: Stored) -> Foreign:
    """The adapter in our words.

    Raises:
        ValueError: unknown tensors, a magnitude of the other axis, or a config without rank and alpha.
    """
    trained, ranks, magnitudes = layers_of(network, stored, stored.tensors)
    options = dora_options(stored) if ranks else {}
    return Foreign(stored.source, rules_of(network, ranks, magnitudes, options, []), trained)


def layers_of(
    network: nn.Module, stored: Stored, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, int], list[str]]:
    """Parameter -> value, module -> rank of DoRA layers, and modules that have a magnitude alone."""
    found: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for key, tensor in tensors.items():
        ending = next((ending for ending in _PARAMETERS if key.endswith(ending)), None)
        if ending is None or not key.startswith(PREFIX):
            unknown.append(key)
            continue
        path = module_here(network, key.removesuffix(ending))
        found.setdefault(path, {})[ending] = tensor
    if unknown:
        raise ValueError(f"{stored.source} holds tensors that this format does not have: {shorten(unknown)}")
    modules = dict(network.named_modules())
    lacking = [path for path in found if not isinstance(modules.get(path), nn.Linear)]
    if lacking:
        raise ValueError(
            f"{stored.source} is of another network: {shorten(lacking)} are no nn.Linear of this "
            f"{type(network).__name__}"
        )
    trained, ranks, magnitudes = {}, {}, []
    for path, own in found.items():
        lacks = set(_PARAMETERS) - set(own)
        if lacks and set(own) != {MAGNITUDE}:
            raise ValueError(f"{stored.source}: {path} lacks {', '.join(sorted(e[1:] for e in lacks))}")
        rows = modules[path].weight.shape[0]
        own[MAGNITUDE] = output_magnitude(stored.source, path + MAGNITUDE, own[MAGNITUDE], int(rows))
        trained.update({f"{path}.{_PARAMETERS[ending]}": tensor for ending, tensor in own.items()})
        if lacks:
            magnitudes.append(path)
        else:
            ranks[path] = len(own[".lora_A.weight"])
    return trained, ranks, magnitudes


def dora_options(stored: Stored) -> dict[str, Any]:
    """What the fork's config says of its DoRA layers; its dropout acts on the base product too."""
    config = stored.config
    alpha = number(config, "lora_alpha", stored.source)
    options: dict[str, Any] = {"method": "dora", "alpha": alpha}
    if config.get("fan_in_fan_out"):
        raise ValueError(
            f"{stored.source}: fan_in_fan_out=true keeps weights as (i, o), which is not read here"
        )
    if config.get("lora_dropout"):
        options |= {"dropout": config["lora_dropout"], "dropout_mode": "reference"}
    options["norm_gradient"] = "detached" if config.get("dora_simple", True) else "full"
    return options
