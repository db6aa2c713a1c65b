"""A LLaVA as a folder that plain transformers reads: weights, config, tokenizer, processor, chat template.

`LlavaForConditionalGeneration.from_pretrained(folder)` and `AutoProcessor.from_pretrained(folder)` need
nothing of this project. transformers marks visual places by a word of the vocabulary, `<image>`, where the
networks here have none: it is added to the tokenizer, and the table and the output head get rows for it and
for all further words of the tokenizer. They are copies of padding's row, and generation never chooses them.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vl_dora.models.base import NETWORK_FILE, weights_of
from vl_dora.models.clip_tower import MEAN

logger = logging.getLogger(__name__)

IMAGE = "<image>"
_VOCABULARY = ("model.language_model.embed_tokens.weight", "lm_head.weight")
# Of the margins with which transformers' processor of LLaVA makes pictures square.
_MARGIN = [int(value * 255) for value in MEAN]


def save_base(
    network: Any,
    tokenizer: Any,
    directory: Path,
    facts: Mapping[str, Any],
    square_fill: Sequence[int] | None = None,
) -> Any:
    """Writes a base that plain transformers and `llava_base.load_base` read; returns the tokenizer written.

    What is there is replaced as a whole.

    Args:
        network: a `Llava` without adapters; the folder has the dtype of its weights.
        tokenizer: of the base; its chat template is the folder's.
        directory: replaced if there.
        facts: what `network.json` tells beside the rest.
        square_fill: as `save_processor`.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as folder:
        new = Path(folder) / "new"
        words = save_processor(network, tokenizer, new, square_fill)
        _save_weights(network, words, new)
        (new / NETWORK_FILE).write_text(json.dumps(dict(facts), indent=2) + "\n", encoding="utf-8")
        for file in new.iterdir():
            # safetensors makes files that only their owner can read.
            shutil.copymode(new / NETWORK_FILE, file)
        if directory.exists():
            shutil.move(directory, Path(folder) / "old")
        os.replace(new, directory)
    return words


def save_processor(
    network: Any, tokenizer: Any, directory: Path, square_fill: Sequence[int] | None = None
) -> Any:
    """Writes what makes a network's input of pictures and conversations; returns the tokenizer written.

    Args:
        network: a `Llava`.
        tokenizer: of the base; its chat template is the processor's.
        directory: made where missing.
        square_fill: colour of the margins that make pictures square; None: they are stretched.
    """
    from transformers import LlavaProcessor
    from transformers.models.llava.image_processing_llava import LlavaImageProcessor

    words = copy.deepcopy(tokenizer)
    words.add_tokens([IMAGE], special_tokens=True)
    vision = network.llava.config.vision_config
    if square_fill is not None and list(square_fill) != _MARGIN:
        logger.warning(
            "model.data.square_fill=%s is not the colour %s with which LlavaImageProcessor of transformers "
            "makes pictures square; make them square before they are given to it",
            list(square_fill),
            _MARGIN,
        )
    size = {"height": vision.image_size, "width": vision.image_size}
    processor = LlavaProcessor(
        image_processor=LlavaImageProcessor(
            do_pad=square_fill is not None, size=size, crop_size=size, do_center_crop=False
        ),
        tokenizer=words,
        patch_size=vision.patch_size,
        vision_feature_select_strategy=network.llava.config.vision_feature_select_strategy,
        # The class token, which the strategy takes away again.
        num_additional_image_tokens=1,
        chat_template=words.chat_template,
    )
    processor.save_pretrained(directory)
    return words


@torch.no_grad()
def _save_weights(network: Any, words: Any, directory: Path) -> None:
    from transformers import GenerationConfig, LlavaForConditionalGeneration

    state = weights_of(network.llava)
    config = copy.deepcopy(network.llava.config)
    text = config.text_config
    further = list(range(text.vocab_size, max(words.get_vocab().values()) + 1))
    for name in _VOCABULARY:
        state[name] = _longer(state[name], text.pad_token_id, len(further))
    text.vocab_size += len(further)
    config.image_token_id = words.convert_tokens_to_ids(IMAGE)
    config.pad_token_id, config.eos_token_id = text.pad_token_id, text.eos_token_id
    config.bos_token_id = text.bos_token_id
    config.dtype = text.dtype = config.vision_config.dtype = state["lm_head.weight"].dtype
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    model.load_state_dict(state, assign=True)
    model.generation_config = GenerationConfig(
        pad_token_id=text.pad_token_id,
        eos_token_id=text.eos_token_id,
        bos_token_id=text.bos_token_id,
        do_sample=False,
        suppress_tokens=further or None,
    )
    model.save_pretrained(directory, state_dict=state)


def _longer(table: Tensor, row: int, count: int) -> Tensor:
    return torch.cat((table, table[row].expand(count, -1))) if count else table
