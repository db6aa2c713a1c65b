"""Where LLaVA's starting weights and its tokenizer come from.

A base is one of
* the name of a base shipped inside the package (`vl_dora/bases/<name>`),
* a directory written by `save_base` of `vl_dora.models.base` or `vl_dora.models.llava_folder`,
* a directory or hub id of a llava-hf checkpoint (`llava-hf/llava-1.5-7b-hf`), that is of transformers'
  LlavaForConditionalGeneration. Its vocabulary is padded by words for pictures, which are not taken,
* a directory or hub id in the layout of LLaVA's own code (`liuhaotian/llava-v1.5-7b`), see
  `vl_dora.models.original_llava`.

A hub is contacted only for a hub id; everything else is read from disk.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from vl_dora.models.base import (
    NETWORK_FILE,
    audit_keys,
    find_directory,
    from_hub,
    load_own,
    weights_of,
    whole_from_hub,
)
from vl_dora.models.llava_config import check_llava
from vl_dora.models.original_llava import is_original, load_original

logger = logging.getLogger(__name__)

_VOCABULARY = ("model.language_model.embed_tokens.weight", "lm_head.weight")
_ORIGINAL_FILES = ("config.json", "*.safetensors", "*.bin", "*.index.json")


def load_base(network: nn.Module, base: str, vision: str | None = None) -> None:
    """Fills a `Llava` with the weights of `base`, every key accounted for.

    Args:
        network: with the attribute `llava`.
        base: a shipped name, a directory or a hub id.
        vision: directory or hub id of the tower, for a checkpoint of LLaVA's own code that leaves it out;
            None: the one that it names.

    Raises:
        ValueError: no such base, or its numbers, keys or shapes are not the network's.
        FileNotFoundError: files of a directory are missing.
    """
    directory = find_directory(base)
    source = base if directory is None else str(directory)
    if directory is not None and _is_own(directory):
        load_own(network, directory)
        return
    fields = _fields(source)
    if is_original(fields):
        load_original(network, directory or _downloaded(source), vision)
    elif fields.get("model_type") == "llava":
        _load_checkpoint(network, source)
    else:
        raise ValueError(
            f"model.base={base} holds a model of type {fields.get('model_type')!r}, not a LLaVA; a LLaVA "
            "from its parts is made by model=llava_1_5_7b_vicuna"
        )


def load_tokenizer(base: str) -> Any:
    """The tokenizer of a base.

    Raises:
        ValueError: no such base.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    directory = find_directory(base)
    if directory is not None and _is_own(directory):
        return PreTrainedTokenizerFast.from_pretrained(directory)
    return from_hub(AutoTokenizer, base if directory is None else str(directory))


def _is_own(directory: Path) -> bool:
    """Whether `vl_dora.models.base.save_base` wrote it, with the names of the network's own tensors."""
    return (directory / NETWORK_FILE).is_file() and not (directory / "config.json").is_file()


def _fields(source: str) -> dict[str, Any]:
    """`config.json` of a directory or hub id as it stands there."""
    from transformers import PretrainedConfig

    read = SimpleNamespace(from_pretrained=lambda where: PretrainedConfig.get_config_dict(where)[0])
    return from_hub(read, source)


def _downloaded(hub_id: str) -> Path:
    """The folder in which a checkpoint of a hub lies once it is downloaded."""
    from huggingface_hub import snapshot_download

    fetch = SimpleNamespace(
        from_pretrained=lambda where: snapshot_download(where, allow_patterns=list(_ORIGINAL_FILES))
    )
    return Path(from_hub(fetch, hub_id))


def _load_checkpoint(network: Any, source: str) -> None:
    from transformers import LlavaForConditionalGeneration

    wanted = {k.removeprefix("llava."): v for k, v in weights_of(network).items()}
    # In its own dtype, so that at most one further copy of the weights is in memory.
    model = whole_from_hub(LlavaForConditionalGeneration, source)
    check_llava(source, model.config, network)
    loaded = weights_of(model)
    words = {name: wanted[name].shape[0] for name in _VOCABULARY}
    further = max(loaded[name].shape[0] - rows for name, rows in words.items() if name in loaded)
    fitted = {k: v[: words[k]] if k in words else v for k, v in loaded.items()}
    audit_keys(fitted, wanted, f"LLaVA {source}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(fitted[name])
    network.llava.config.name_or_path = source
    if further > 0:
        logger.info(
            "The last %d words of %s stand for pictures and padding and are not taken.", further, source
        )
