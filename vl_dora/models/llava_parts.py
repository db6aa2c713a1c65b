"""A LLaVA put together from its parts, as its own training begins: a language model, a tower and a projector.

Source: Liu et al. 2024, arXiv:2310.03744: Vicuna, CLIP, and the projector of the first stage, which LLaVA's
release has as `mm_projector.bin` (names `model.mm_projector.0.weight`, ...).
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from vl_dora.models.base import audit_keys, find_directory, weights_of, whole_from_hub
from vl_dora.models.checkpoint_files import read_pickle
from vl_dora.models.llava_config import check_language, check_tower

logger = logging.getLogger(__name__)

# Places in LLaVA's own `nn.Sequential` of two linear maps with a GELU between.
_PROJECTOR = {"0": "linear_1", "2": "linear_2"}
# How the weights of CLIP's other half, and of what is above both, begin.
_TEXT_HALF = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")


def load_parts(network: nn.Module, base: str, *, vision: str, projector: str | None) -> None:
    """Fills a `Llava` part by part, every key accounted for.

    Args:
        network: with the attribute `llava`.
        base: directory or hub id of the language model (transformers' LLaMA).
        vision: directory or hub id of the tower (transformers' CLIP, with or without its text half).
        projector: LLaVA's `mm_projector.bin`; None: it stays as it was drawn, to be trained first.

    Raises:
        ValueError: no such part, or one that does not fit.
        FileNotFoundError: no such file of the projector.
    """
    from transformers import LlamaForCausalLM

    wanted = {name.removeprefix("llava."): tensor for name, tensor in weights_of(network).items()}
    decoder = whole_from_hub(LlamaForCausalLM, _source(base))
    check_language(base, decoder.config, network)
    language = weights_of(decoder)
    named = {k.replace("model.", "model.language_model.", 1): v for k, v in language.items()}
    _fill({k: v for k, v in wanted.items() if k in named or _is_language(k)}, named, f"language model {base}")
    del decoder, language, named
    _fill(_below(wanted, "model.vision_tower."), tower_weights(network, vision), f"tower {vision}")
    slots = _below(wanted, "model.multi_modal_projector.")
    if projector is not None:
        _fill(slots, _projector_weights(Path(projector).expanduser()), f"projector {projector}")
    else:
        logger.warning(
            "model.load_base.projector is not set: the projector starts random and must train first"
        )


def tower_weights(network: nn.Module, vision: str) -> dict[str, Tensor]:
    """The weights of a directory or hub id of transformers' CLIP, by their names in a CLIPVisionModel.

    Raises:
        ValueError: no such tower, or one that computes otherwise than the network's.
    """
    from transformers import CLIPVisionModel

    tower = whole_from_hub(CLIPVisionModel, _source(vision), beside=_TEXT_HALF)
    check_tower(vision, tower.config, network)
    return weights_of(tower)


def _source(base: str) -> str:
    directory = find_directory(base)
    return base if directory is None else str(directory)


def _is_language(name: str) -> bool:
    return name.startswith(("model.language_model.", "lm_head."))


def _below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}


def _projector_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(
            f"model.load_base.projector={path} is missing; give LLaVA's mm_projector.bin, or null"
        )
    stored = read_pickle(path)
    found = {}
    for name, tensor in stored.items() if isinstance(stored, dict) else ():
        place, dot, leaf = name.rpartition("mm_projector.")[2].partition(".")
        found[f"{_PROJECTOR.get(place, place)}{dot}{leaf}"] = tensor
    return found


@torch.no_grad()
def _fill(slots: dict[str, Tensor], stored: dict[str, Tensor], source: str) -> None:
    audit_keys(stored, slots, source)
    for name, tensor in slots.items():
        tensor.copy_(stored[name])
