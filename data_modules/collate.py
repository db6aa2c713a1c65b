"""Samples to a `Batch`: texts to tokens, pictures to one tensor, the loss reduction to weights.

A target's label tokens are what the tokenizer makes of it, special tokens included, and end with
its end token: `<s> two dogs </s>` with BART's tokenizer, as BART was trained (the decoder input
is these labels shifted right behind the start token). Padding is right of the text, -100 in the
labels.
Shapes: B samples, I pictures, N visual tokens, F features, T prompt tokens, L label tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from data_modules.shortening import shortened
from vl_dora.batch import Batch, Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
ON_LONG = ("raise", "truncate", "shorten")


@dataclass(frozen=True)
class Sample:
    """One example, ready to be stacked.

    Args:
        example: what it was made of.
        target: the text to learn this time; None when there is nothing to learn.
        weight: factor of this sample's loss.
        visuals: one array a picture or frame: (3, height, width) uint8 pixels, or (N, F) features.
    """

    example: Example
    target: str | None
    weight: float = 1.0
    visuals: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Collate:
    """Turns a list of samples into a batch.

    Args:
        tokenizer: of the base; needs a padding token and an end token.
        max_prompt_tokens: limit of T, special tokens included; None: no limit.
        max_target_tokens: limit of L, special tokens included; None: no limit.
        reduction: "sample": a sample weighs weight / (its L * B) per token; "token": every
            token of the batch weighs weight / (sum of L).
        on_long: "raise", "truncate" (from the right, the end token stays) or "shorten" (a prompt loses
            what it can spare, see `data_modules.shortening`) on a longer text.

    Raises:
        ValueError: an option outside these words, or a tokenizer without the tokens needed.
    """

    tokenizer: PreTrainedTokenizerBase
    max_prompt_tokens: int | None = None
    max_target_tokens: int | None = None
    reduction: str = "sample"
    on_long: str = "raise"

    def __post_init__(self) -> None:
        if self.reduction not in ("sample", "token"):
            raise ValueError(f"task.loss_reduction={self.reduction!r} must be sample or token")
        if self.on_long not in ON_LONG:
            raise ValueError(f"data.on_long={self.on_long!r} must be one of {', '.join(ON_LONG)}")
        for key in ("max_prompt_tokens", "max_target_tokens"):
            limit = getattr(self, key)
            if limit is not None and limit < 2:
                raise ValueError(f"data.{key}={limit} must be at least 2 (a token and the end), or null")
        for name in ("pad_token_id", "eos_token_id"):
            if getattr(self.tokenizer, name, None) is None:
                raise ValueError(
                    f"the tokenizer has no {name}; a base's tokenizer needs one (model.tokenizer)"
                )

    def __call__(self, samples: Sequence[Sample | ValueError]) -> Batch | ValueError:
        """The batch of these samples; an error among them is passed on instead."""
        errors = [s for s in samples if isinstance(s, ValueError)]
        if errors:
            return errors[0]
        good = [s for s in samples if isinstance(s, Sample)]
        ids = [e.example.id for e in good]
        good, prompts = self._prompts(good)
        prompts = self._fitting(prompts, ids, "prompt")
        input_ids = right_padded(prompts, self.tokenizer.pad_token_id)
        pixels, features, image_mask, feature_mask = stack_visuals([s.visuals for s in good])
        labels, weights = self._labels(good, ids)
        return Batch(
            examples=tuple(s.example for s in good),
            input_ids=input_ids,
            attention_mask=length_mask(prompts, input_ids.shape[1]),
            pixels=pixels,
            features=features,
            image_mask=image_mask,
            feature_mask=feature_mask,
            labels=labels,
            label_weights=weights,
        )

    def encode_prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of prompts, at full length."""
        end = [self.tokenizer.eos_token_id]
        return [ids or end for ids in self._encode(texts)]

    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of targets, at full length, each closed by the end token."""
        end = self.tokenizer.eos_token_id
        return [ids if ids and ids[-1] == end else [*ids, end] for ids in self._encode(texts)]

    def too_long(self, num_tokens: int, name: str, kind: str) -> str | None:
        """What is wrong with a prompt or target (`kind`) of so many tokens; None if it fits."""
        limit = self._limit(kind)
        if limit is None or num_tokens <= limit:
            return None
        spared = " without what it can spare" if (kind, self.on_long) == ("prompt", "shorten") else ""
        return (
            f"sample {name!r}: its {kind} has {num_tokens} tokens{spared}, data.max_{kind}_tokens={limit} "
            f"allows {limit}; raise it, or set data.on_long=truncate"
        )

    def shortened(self, example: Example) -> Example:
        """The example as it is, or where `on_long` is shorten without what its prompt must spare to fit."""
        if self.on_long != "shorten" or self.max_prompt_tokens is None:
            return example
        return shortened(example, lambda text: len(self.encode_prompts([text])[0]), self.max_prompt_tokens)

    def _prompts(self, samples: list[Sample]) -> tuple[list[Sample], list[list[int]]]:
        """The samples, `shortened` where that was not done when they were read, and their prompts' ids."""
        rows = self.encode_prompts([s.example.prompt for s in samples])
        if self.on_long == "shorten" and any(self.too_long(len(row), "", "prompt") for row in rows):
            samples = [replace(s, example=self.shortened(s.example)) for s in samples]
            rows = self.encode_prompts([s.example.prompt for s in samples])
        return samples, rows

    def _limit(self, kind: str) -> int | None:
        return self.max_prompt_tokens if kind == "prompt" else self.max_target_tokens

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        return self.tokenizer(list(texts), padding=False, truncation=False, verbose=False)["input_ids"]

    def _fitting(self, rows: list[list[int]], ids: Sequence[str], kind: str) -> list[list[int]]:
        """Rows within the limit: truncated, or a ValueError naming the sample."""
        limit = self._limit(kind)
        fitting = []
        for row, name in zip(rows, ids, strict=True):
            problem = self.too_long(len(row), name, kind)
            if problem and self.on_long != "truncate":
                raise ValueError(problem)
            fitting.append([*row[: limit - 1], row[-1]] if problem and limit else row)
        return fitting

    def _labels(self, samples: Sequence[Sample], ids: Sequence[str]) -> tuple[Tensor | None, Tensor | None]:
        """Labels (B, L) and their weights (B, L); None when no sample has a target."""
        if all(s.target is None for s in samples):
            return None, None
        rows = self._fitting(self.encode_targets([s.target or "" for s in samples]), ids, "target")
        rows = [row if s.target is not None else [] for row, s in zip(rows, samples, strict=True)]
        labels = right_padded(rows, IGNORED)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.float32)
        scores = torch.tensor([s.weight for s in samples], dtype=torch.float32)
        shares = lengths.clamp(min=1) * len(rows) if self.reduction == "sample" else lengths.sum()
        weights = (scores / shares)[:, None] * (labels != IGNORED)
        return labels, weights


def right_padded(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    """(B, longest row) int64, `padding` right of the shorter rows."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows], dtype=torch.long)


def length_mask(rows: Sequence[Sequence[int]], width: int) -> Tensor:
    """(B, width) bool, True on a row's own places, whatever its tokens are."""
    return torch.arange(width)[None] < torch.tensor([len(row) for row in rows])[:, None]


def stack_visuals(
    visuals: Sequence[tuple[np.ndarray, ...]],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Pixels, features, image mask, feature mask; samples padded to I pictures with zeros."""
    num_images = max(len(v) for v in visuals)
    if num_images == 0:
        return None, None, None, None
    image_mask = torch.arange(num_images)[None] < torch.tensor([len(v) for v in visuals])[:, None]
    shapes = {array.shape for row in visuals for array in row}
    first = next(array for row in visuals for array in row)
    largest = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    if first.ndim == 3 and len(shapes) > 1:
        raise ValueError(f"pictures of one batch have several sizes {sorted(shapes)}; set model.image_size")
    stacked = np.zeros((len(visuals), num_images, *largest), dtype=first.dtype)
    real = np.zeros((len(visuals), num_images, largest[0]), dtype=bool)
    for sample, row in enumerate(visuals):
        for slot, array in enumerate(row):
            stacked[sample, slot, : len(array)] = array
            real[sample, slot, : len(array)] = True
    if first.ndim == 3:
        return torch.from_numpy(stacked), None, image_mask, None
    feature_mask = torch.from_numpy(real) if len(shapes) > 1 else None
    return None, torch.from_numpy(stacked), image_mask, feature_mask
