"""Where LLaVA's starting weights and its tokenizer come from.

A base is one of
* the name of a base shipped inside the package (`vl_dora/bases/<name>`),
* a directory written by `vl_dora.models.base.save_base`,
* a directory or hub id of a llava-hf checkpoint (`llava-hf/llava-1.5-7b-hf`), that is of transformers'
  LlavaForConditionalGeneration. Its vocabulary is padded by words for pictures, which are not taken.

A hub is contacted only for a hub id; everything else is read from disk.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from vl_dora.models.base import NETWORK_FILE, audit_keys, find_directory, from_hub, load_own, weights_of

logger = logging.getLogger(__name__)

_VOCABULARY = ("model.language_model.embed_tokens.weight", "lm_head.weight")


def load_base(network: nn.Module, base: str) -> None:
    """Fills a `Llava` with the weights of `base`, every key accounted for.

    Args:
        network: with the attribute `llava`.
        base: a shipped name, a directory or a hub id.

    Raises:
        ValueError: no such base, or its keys or shapes are not the network's.
    """
    directory = find_directory(base)
    if directory is not None and (directory / NETWORK_FILE).is_file():
        load_own(network, directory)
    else:
        _load_checkpoint(network, base if directory is None else str(directory))


def load_tokenizer(base: str) -> Any:
    """The tokenizer of a base.

    Raises:
        ValueError: no such base.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    directory = find_directory(base)
    if directory is not None and (directory / NETWORK_FILE).is_file():
        return PreTrainedTokenizerFast.from_pretrained(directory)
    return from_hub(AutoTokenizer, base if directory is None else str(directory))


def _load_checkpoint(network: nn.Module, source: str) -> None:
    from transformers import LlavaForConditionalGeneration

    wanted = {k.removeprefix("llava."): v for k, v in weights_of(network).items()}
    # In its own dtype, so that at most one further copy of the weights is in memory.
    loaded = weights_of(from_hub(LlavaForConditionalGeneration, source, dtype="auto"))
    words = {name: wanted[name].shape[0] for name in _VOCABULARY}
    further = max(loaded[name].shape[0] - rows for name, rows in words.items() if name in loaded)
    fitted = {k: v[: words[k]] if k in words else v for k, v in loaded.items()}
    audit_keys(fitted, wanted, f"LLaVA {source}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(fitted[name])
    if further:
        logger.info(
            "The last %d words of %s stand for pictures and padding and are not taken.", further, source
        )
