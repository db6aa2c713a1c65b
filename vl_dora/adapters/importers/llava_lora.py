"""LoRA of LLaVA's own code (`scripts/v1_5/finetune_lora.sh`), with the projector trained whole.

A directory: PEFT's `adapter_config.json` and `adapter_model.{bin,safetensors}` under the names of LLaVA's own
modules, and `non_lora_trainables.bin` with the projector, which PEFT itself never reads.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vl_dora.adapters.importers.fork_names import PREFIX, module_here, number, rules_of
from vl_dora.adapters.importers.llava_projector import PROJECTOR, projector_of
from vl_dora.adapters.importers.placing import Foreign
from vl_dora.adapters.importers.stored import Stored
from vl_dora.adapters.matching import shorten
from vl_dora.adapters.peft_config import check_readable

_PARAMETERS = {".lora_A.weight": "lora_a", ".lora_B.weight": "lora_b"}


def recognises(stored: Stored) -> bool:
    """Whether plain LoRA has a projector beside it."""
    plain = stored.config.get("peft_type") == "LORA" and any(".lora_A." in key for key in stored.tensors)
    return plain and any(PROJECTOR in key for key in stored.beside)


def read(network: nn.Module, stored: Stored) -> Foreign:
    """The adapter in our words, with the projector from the second file.

    Raises:
        ValueError: unknown tensors, half a layer, a layer that the network lacks, an option that gives the
            tensors another meaning, or a projector that is not this network's.
    """
    check_readable(stored.config, f"{stored.source}: adapter_config.json")
    projector = projector_of(network, stored, stored.beside)
    layers: dict[str, dict[str, Tensor]] = {}
    unknown = [key for key in stored.beside if PROJECTOR not in key]
    for key, tensor in stored.tensors.items():
        ending = next((ending for ending in _PARAMETERS if key.endswith(ending)), None)
        if ending is None or not key.startswith(PREFIX):
            unknown.append(key)
            continue
        layers.setdefault(module_here(network, key.removesuffix(ending)), {})[_PARAMETERS[ending]] = tensor
    if unknown:
        raise ValueError(f"{stored.source} holds tensors that this format does not have: {shorten(unknown)}")
    modules = dict(network.named_modules())
    lacking = [path for path in layers if not isinstance(modules.get(path), nn.Linear)]
    if lacking:
        raise ValueError(
            f"{stored.source} is of another network: {shorten(lacking)} are no nn.Linear of this "
            f"{type(network).__name__}"
        )
    half = [path for path, own in layers.items() if len(own) < len(_PARAMETERS)]
    if half:
        raise ValueError(f"{stored.source}: {shorten(half)} have only one of lora_A and lora_B")
    trained = {f"{path}.{name}": tensor for path, own in layers.items() for name, tensor in own.items()}
    ranks = {path: len(own["lora_a"]) for path, own in layers.items()}
    options: dict[str, Any] = {"method": "lora", "alpha": number(stored.config, "lora_alpha", stored.source)}
    if stored.config.get("use_rslora"):
        options["rslora"] = True
    if stored.config.get("lora_dropout"):
        options["dropout"] = stored.config["lora_dropout"]
    whole = sorted({name.rpartition(".")[0] for name in projector})
    selection = rules_of(network, ranks, [], options, whole)
    return Foreign(stored.source, selection, {**trained, **projector})
