"""A LLaVA put together from its parts, as its own training begins: a language model, a tower and a projector.

Source: Liu et al. 2024, arXiv:2310.03744: Vicuna, CLIP, and the projector of the first stage, which LLaVA's
release has as `mm_projector.bin` (names `model.mm_projector.0.weight`, ...).
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from vl_dora.models.base import audit_keys, find_directory, from_hub, weights_of

logger = logging.getLogger(__name__)

# Places in LLaVA's own `nn.Sequential` of two linear maps with a GELU between.
_PROJECTOR = {"0": "linear_1", "2": "linear_2"}


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
    from transformers import CLIPVisionModel, LlamaForCausalLM

    wanted = {name.removeprefix("llava."): tensor for name, tensor in weights_of(network).items()}
    language = weights_of(from_hub(LlamaForCausalLM, _source(base), dtype="auto"))
    named = {k.replace("model.", "model.language_model.", 1): v for k, v in language.items()}
    _fill({k: v for k, v in wanted.items() if k in named or _is_language(k)}, named, f"language model {base}")
    del language, named
    tower = weights_of(from_hub(CLIPVisionModel, _source(vision), dtype="auto"))
    prefix = "model.vision_tower."
    _fill(_below(wanted, prefix), tower, f"tower {vision}")
    slots = _below(wanted, "model.multi_modal_projector.")
    if projector is not None:
        _fill(slots, _projector_weights(Path(projector).expanduser()), f"projector {projector}")
    else:
        logger.warning(
            "model.load_base.projector is not set: the projector starts random and must train first"
        )


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
    stored = torch.load(path, map_location="cpu", weights_only=True)
    found = {}
    for name, tensor in stored.items():
        place, dot, leaf = name.rpartition("mm_projector.")[2].partition(".")
        found[f"{_PROJECTOR.get(place, place)}{dot}{leaf}"] = tensor
    return found


@torch.no_grad()
def _fill(slots: dict[str, Tensor], stored: dict[str, Tensor], source: str) -> None:
    audit_keys(stored, slots, source)
    for name, tensor in slots.items():
        tensor.copy_(stored[name])
