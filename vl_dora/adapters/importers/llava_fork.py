"""The LLaVA fork: DoRA on LLaVA-1.5's language model, with the projector trained whole.

A directory: `adapter_config.json`, `adapter_model.bin` with A and B, and `non_lora_trainables.bin` with the
magnitudes, `….weight_m_wdecomp.default.weight` (o, 1), and the projector, `model.mm_projector.{0,2}`. The
fork itself loses the magnitudes when it loads them again; here they are recovered.
"""

from __future__ import annotations

from torch import Tensor, nn

from vl_dora.adapters.importers.fork_names import rules_of
from vl_dora.adapters.importers.llava_projector import PROJECTOR, projector_of
from vl_dora.adapters.importers.llm_fork import MAGNITUDE, dora_options, layers_of
from vl_dora.adapters.importers.placing import Foreign
from vl_dora.adapters.importers.stored import Stored
from vl_dora.adapters.matching import shorten

BESIDE_MAGNITUDE = ".weight_m_wdecomp.default.weight"


def recognises(stored: Stored) -> bool:
    """Whether magnitudes lie beside the adapter file."""
    return any(key.endswith(BESIDE_MAGNITUDE) for key in (*stored.beside, *stored.tensors))


def read(network: nn.Module, stored: Stored) -> Foreign:
    """The adapter in our words, magnitudes and projector from the second file.

    Raises:
        ValueError: a layer without a magnitude or a magnitude without a layer, unknown tensors, a magnitude
            of the other axis, or a projector that is not this network's.
    """
    tensors: dict[str, Tensor] = {}
    projector = projector_of(network, stored, {**stored.tensors, **stored.beside})
    unknown = []
    for key, tensor in (*stored.tensors.items(), *stored.beside.items()):
        if key.endswith(BESIDE_MAGNITUDE):
            tensors[key.removesuffix(BESIDE_MAGNITUDE) + MAGNITUDE] = tensor
        elif ".lora_" in key:
            tensors[key.replace(".default.", ".")] = tensor
        elif PROJECTOR not in key:
            unknown.append(key)
    if unknown:
        raise ValueError(f"{stored.source} holds tensors that this format does not have: {shorten(unknown)}")
    trained, ranks, magnitudes = layers_of(network, stored, tensors)
    whole = sorted({name.rpartition(".")[0] for name in projector})
    # This fork detaches the norm always, whatever its config says.
    options = {**dora_options(stored), "norm_gradient": "detached"} if ranks else {}
    selection = rules_of(network, ranks, magnitudes, options, whole)
    return Foreign(stored.source, selection, {**trained, **projector})
