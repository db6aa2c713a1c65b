"""Several conversations in one row, so that little of a batch is padding; what is learned stays the same.

A step has the samples, labels and weights that it has unpacked, so order, accumulation, resuming and grouping
by length know nothing of it. The network lets no token see another conversation and counts positions from
each one's start.
Shapes: B samples, R rows, T tokens of a row.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from data_modules.collate import IGNORED, Collate, Sample
from data_modules.conversation_collate import ConversationCollate
from vl_dora.batch import Batch

# Share of the places of a batch that may be padding.
PADDING = 0.05


@dataclass(frozen=True)
class PackingCollate:
    """A batch of conversations, `packed` into rows of at most the collate's `max_tokens`.

    Args:
        collate: makes the unpacked batch.
    """

    collate: ConversationCollate

    def __call__(self, samples: Sequence[Sample | ValueError]) -> Batch | ValueError:
        """As the collate does; an error among the samples is passed on."""
        batch = self.collate(samples)
        return batch if isinstance(batch, ValueError) else packed(batch, self.collate.max_tokens)


def training_collate(collate: Collate | ConversationCollate, packing: bool) -> Callable[..., Any]:
    """What collates training batches.

    Raises:
        ValueError: `packing` is neither true nor false, or is asked of an encoder-decoder.
    """
    if not isinstance(packing, bool):
        raise ValueError(f"data.packing={packing!r} must be true or false")
    if not packing:
        return collate
    if not isinstance(collate, ConversationCollate):
        raise ValueError(
            "data.packing=true is for decoder-only models (model=tiny_llava, llava_1_5_7b, ...): the encoder "
            "and decoder of this model read one sample a row; set data.packing=false"
        )
    return PackingCollate(collate)


def packed(batch: Batch, limit: int | None = None) -> Batch:
    """The same batch with its conversations laid into fewer, fuller rows.

    Per-sample tensors and examples stay in their order; `segments` tells which sample a token is of.

    Args:
        batch: of a decoder-only network, a row a sample, padded on the right.
        limit: tokens of a row that holds several samples; None: no limit.
    """
    lengths = batch.attention_mask.sum(1).tolist()
    rows = rows_with_little_padding(lengths, limit)
    width = max(sum(lengths[sample] for sample in row) for row in rows)
    segments = torch.full((len(rows), width), -1)
    source = torch.zeros((len(rows), width), dtype=torch.long)
    starts = torch.zeros((len(rows), width), dtype=torch.bool)
    for row, samples in enumerate(rows):
        place = 0
        for sample in samples:
            end = place + lengths[sample]
            segments[row, place:end] = sample
            source[row, place:end] = torch.arange(lengths[sample])
            starts[row, place] = True
            place = end
    real = segments >= 0
    owner = segments.clamp(min=0)
    changes: dict[str, Any] = {"segments": segments, "attention_mask": real}
    changes["input_ids"] = batch.input_ids[owner, source].masked_fill(~real, 0)
    # What stands before a conversation's first token is another one: nothing predicts it, as unpacked.
    learned = real & ~starts
    if batch.labels is not None:
        changes["labels"] = batch.labels[owner, source].masked_fill(~learned, IGNORED)
    if batch.label_weights is not None:
        changes["label_weights"] = batch.label_weights[owner, source] * learned
    return replace(batch, **changes)


def rows_with_little_padding(lengths: Sequence[int], limit: int | None) -> list[list[int]]:
    """Numbers of the pieces in each row; in a row and among rows in the order of the list.

    Of all numbers of rows, the largest whose padding is at most `PADDING` of the rows, else the one with the
    least of it: wide rows cost more attention, and gain nothing once padding is gone.

    Args:
        lengths: of the pieces.
        limit: of a row that holds several; None: no limit.
    """
    best, least = [[number] for number in range(len(lengths))], len(lengths) * max(lengths)
    for count in range(len(lengths), 0, -1):
        rows = _spread(lengths, count)
        width = max(sum(lengths[piece] for piece in row) for row in rows)
        if width > max(limit or width, *lengths):
            continue
        if count * width < least:
            best, least = rows, count * width
        if least - sum(lengths) <= PADDING * least:
            break
    return sorted(sorted(row) for row in best)


def _spread(lengths: Sequence[int], count: int) -> list[list[int]]:
    """The pieces in `count` rows, longest first, each into the row that is shortest by then (Graham 1969)."""
    heap: list[tuple[int, int]] = [(0, row) for row in range(count)]
    rows: list[list[int]] = [[] for _ in range(count)]
    for piece in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        filled, row = heap[0]
        heapq.heapreplace(heap, (filled + lengths[piece], row))
        rows[row].append(piece)
    return rows
