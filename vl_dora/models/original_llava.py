"""Checkpoints in the layout of LLaVA's own code (liuhaotian/llava-v1.5-7b), read into transformers' LLaVA.

The folder holds a LLaMA config with further fields (`mm_vision_tower`, `mm_projector_type`, ...) and tensors

| there | in transformers' LlavaForConditionalGeneration |
|---|---|
| `model.layers.…`, `model.embed_tokens.…`, `model.norm.…` | `model.language_model.…` |
| `model.mm_projector.0`, `model.mm_projector.2` | `model.multi_modal_projector.linear_1`, `….linear_2` |
| `model.vision_tower.vision_tower.vision_model.…` | `model.vision_tower.…` |
| `lm_head` | `lm_head` |

A tower that was frozen may be left out; it is then read from where `mm_vision_tower` says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vl_dora.models.base import COMPUTED, audit_keys, weights_of
from vl_dora.models.checkpoint_files import read_weights
from vl_dora.models.llava_config import check_language
from vl_dora.models.llava_parts import tower_weights

_RENAMED = (
    ("model.mm_projector.0.", "model.multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "model.multi_modal_projector.linear_2."),
    ("model.vision_tower.vision_tower.vision_model.", "model.vision_tower."),
    ("model.vision_tower.vision_tower.", "model.vision_tower."),
    ("model.", "model.language_model."),
)
_TOWER = "model.vision_tower."
# Field -> the value that LLaVA-1.5 has, and with which it is the network of transformers.
_FIELDS = {
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_feature": "patch",
    "mm_use_im_start_end": False,
    "mm_use_im_patch_token": False,
}


def is_original(fields: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is of LLaVA's own code."""
    return "mm_vision_tower" in fields or "mm_projector_type" in fields


def load_original(network: nn.Module, folder: Path, vision: str | None = None) -> None:
    """Fills a `Llava` from a folder in this layout, every key accounted for.

    Args:
        network: with the attribute `llava`.
        folder: as described above.
        vision: directory or hub id of the tower, read where the folder has none; None: `mm_vision_tower`.

    Raises:
        ValueError: another kind of LLaVA than 1.5, or numbers, keys or shapes that are not the network's.
        FileNotFoundError: files of the folder are missing.
    """
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _check_fields(folder, fields, network)
    stored = {_renamed(k): v for k, v in read_weights(folder).items() if not k.endswith(COMPUTED)}
    if not any(name.startswith(_TOWER) for name in stored):
        tower = tower_weights(network, vision or str(fields.get("mm_vision_tower")))
        stored |= {f"{_TOWER}{name}": tensor for name, tensor in tower.items()}
    wanted = {k.removeprefix("llava."): v for k, v in weights_of(network).items()}
    audit_keys(stored, wanted, f"LLaVA {folder}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(stored[name])


def _check_fields(folder: Path, fields: Mapping[str, Any], network: Any) -> None:
    from transformers import LlamaConfig

    wanted = {**_FIELDS, "mm_vision_select_layer": network.vision_feature_layer}
    for name, value in wanted.items():
        if fields.get(name, value) != value:
            hint = (
                "; set model.network.vision_feature_layer to it" if name == "mm_vision_select_layer" else ""
            )
            raise ValueError(
                f"model.base={folder} has {name}={fields[name]!r} in its config.json, where this network, "
                f"LLaVA-1.5, has {value!r}{hint}"
            )
    if str(fields.get("image_aspect_ratio", "pad")).startswith("anyres"):
        raise ValueError(
            f"model.base={folder} cuts pictures into tiles (image_aspect_ratio="
            f"{fields['image_aspect_ratio']!r}), which LLaVA-1.5 does not; name a checkpoint of LLaVA-1.5"
        )
    # The fields of LLaVA's own mean nothing to LLaMA.
    own = {k: v for k, v in fields.items() if k not in ("model_type", "architectures") and "mm_" not in k}
    check_language(str(folder), LlamaConfig(**own), network)


def _renamed(name: str) -> str:
    return next((new + name[len(old) :] for old, new in _RENAMED if name.startswith(old)), name)
