"""Lengths of the training samples, where data and tokenizer are at hand; nothing is drawn or fetched."""

from __future__ import annotations

from typing import Any

from vl_dora.planning.asked import Lengths

LOOKED_AT = 4096  # samples of a split whose lengths are taken; a random choice of larger ones


def lengths_of(data: Any) -> Lengths | None:
    """The lengths of a data module's training split; None where it has none, or its folder is not there.

    Args:
        data: of one task, blind, so that pictures need not be there.

    Raises:
        ValueError: a bad sample, as in training.
    """
    split = data.splits["train"]
    if split is None or not data.is_there() or split not in data.files.splits(data.folder):
        return None
    wanted = data.limit["train"]
    samples = sum(1 for _ in data.files.rows(data.folder, split))
    samples = samples if wanted is None else min(samples, wanted)
    data.limit["train"] = min(samples, LOOKED_AT)
    examples = data.examples(split, "train")
    pictures = [_num_pictures(example, data) for example in examples]
    if hasattr(data.collate, "render"):
        rendered = [
            data.collate.render(example, example.target, number)
            for example, number in zip(examples, pictures, strict=True)
        ]
        limit = data.collate.max_tokens
        rows = data.collate.encode(rendered)
        prompts = [len(row) if limit is None else min(len(row), limit) for row in rows]
        return Lengths(prompts, [sum(row.supervised) for row in rows], pictures, samples)
    prompts = [len(row) for row in data.collate.encode_prompts([example.prompt for example in examples])]
    targets = [len(row) for row in data.collate.encode_targets([example.target for example in examples])]
    longest_prompt, longest_target = data.collate.max_prompt_tokens, data.collate.max_target_tokens
    return Lengths(_cut(prompts, longest_prompt), _cut(targets, longest_target), pictures, samples)


def _cut(lengths: list[int], limit: int | None) -> list[int]:
    return lengths if limit is None else [min(length, limit) for length in lengths]


def _num_pictures(example: Any, data: Any) -> int:
    if example.frames is None:
        return len(example.images)
    if data.features is not None:
        return len(example.images) + 1
    return len(example.images) + (example.frames.count or data.clips.frames or 1)
