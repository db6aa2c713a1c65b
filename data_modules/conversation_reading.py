"""Conversations that are fit for use: their pictures have places, and they are not too long."""

from __future__ import annotations

import logging

from data_modules.conversation_collate import ConversationCollate
from data_modules.conversation_tokens import Tokens
from data_modules.reading import CHUNK, BadSamples
from vl_dora.batch import Example

log = logging.getLogger(__name__)


def with_fitting_conversations(
    samples: list[tuple[Example, str]], collate: ConversationCollate, bad: BadSamples, *, training: bool
) -> list[tuple[Example, str]]:
    """The samples that the collate can use; what will be cut is counted and logged.

    In evaluation a prompt is never cut: one that leaves no room for an answer is a bad sample.
    """
    kept, cut = [], 0
    for start in range(0, len(samples), CHUNK):
        good, rendered = [], []
        for example, where in samples[start : start + CHUNK]:
            try:
                rendered.append(collate.render(example, _longest(example, training), _pictures(example)))
                good.append((example, where))
            except ValueError as error:
                bad.add(f"{where}: {error}")
        for (example, where), row in zip(good, collate.encode(rendered), strict=True):
            try:
                cut += len(collate.fitting(row, example.id)) < len(row)
                if not training:
                    _refuse_long_prompt(example, row, collate.max_tokens)
                kept.append((example, where))
            except ValueError as error:
                bad.add(f"{where}: {error}")
    if cut:
        log.warning(
            "data.on_long=truncate cuts %d of %d conversations of split %s after "
            "model.data.collate.max_tokens=%d tokens",
            cut,
            len(samples),
            bad.split,
            collate.max_tokens,
        )
    return kept


def _refuse_long_prompt(example: Example, row: Tokens, limit: int | None) -> None:
    if limit is not None and row.prompt_length >= limit:
        raise ValueError(
            f"sample {example.id!r}: its prompt has {row.prompt_length} tokens, "
            f"model.data.collate.max_tokens={limit} leaves no room for an answer; raise it"
        )


def _longest(example: Example, training: bool) -> str | None:
    """The longest text that may be the last answer."""
    texts = [text for text, _ in example.targets] if training and example.targets else [example.target]
    return max(texts, key=len) or None


def _pictures(example: Example) -> int:
    """Pictures and, where the clip says how many, frames; a clip that does not is counted as one."""
    clip = example.frames
    return len(example.images) + (0 if clip is None else clip.count or 1)
