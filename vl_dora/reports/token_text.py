"""Token ids as text to look at: every piece of it with its token, its place, and whether it is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vl_dora.batch import VISUAL_PLACE, Batch

WINDOW = 8  # tokens before a token that decide how it is written (spaces, letters of several bytes)
UNFINISHED = "\ufffd"  # what decoders write for the first bytes of a letter
IGNORED = -100


@dataclass(frozen=True)
class Piece:
    """A stretch of a row of tokens.

    Args:
        text: as decoded; empty of visual tokens.
        tokens: the tokenizer's own words for it, with their ids.
        place: of its first token in the row, from 0.
        count: tokens in it.
        kind: text, special or visual.
        learned: whether the loss counts it.
        picture: number of the picture that visual tokens are of, from 1; 0 if it is not known.
    """

    text: str
    tokens: str
    place: int
    count: int
    kind: str
    learned: bool
    picture: int = 0

    @property
    def gap(self) -> str:
        """The white space that the text begins with."""
        return self.text[: len(self.text) - len(self.text.lstrip())]


@dataclass(frozen=True)
class Row:
    """One sequence of tokens: what it is, and its pieces."""

    name: str
    pieces: tuple[Piece, ...]

    @property
    def num_tokens(self) -> int:
        return sum(piece.count for piece in self.pieces)

    @property
    def num_learned(self) -> int:
        return sum(piece.count for piece in self.pieces if piece.learned)


def rows_of(batch: Batch, num_visual: int, tokenizer: Any) -> list[Row]:
    """The sequences of a batch of one sample: one of a decoder-only network, two of an encoder-decoder.

    Args:
        batch: of one sample.
        num_visual: visual tokens that an encoder reads behind the text, over all pictures.
        tokenizer: of the base.
    """
    assert len(batch) == 1
    ids = batch.input_ids[0][batch.attention_mask[0].bool()].tolist()
    labels = [] if batch.labels is None else batch.labels[0].tolist()
    if batch.prompt_lengths is not None:
        own = [label for label, real in zip(labels, batch.attention_mask[0].tolist(), strict=True) if real]
        learned = [label != IGNORED for label in own] or [False] * len(ids)
        return [Row("the network reads", tuple(_with_visual_places(ids, learned, tokenizer)))]
    encoder = [*text_pieces(ids, [False] * len(ids), tokenizer), *_behind(batch, num_visual, len(ids))]
    target = [label for label in labels if label != IGNORED]
    rows = [Row("encoder reads", tuple(encoder))]
    if labels:
        rows.append(Row("decoder learns", tuple(text_pieces(target, [True] * len(target), tokenizer))))
    return rows


def _behind(batch: Batch, num_visual: int, start: int) -> list[Piece]:
    """Equal shares of the visual tokens for each picture or frame."""
    given = batch.features if batch.features is not None else batch.pixels
    if given is None or not num_visual:
        return []
    share = num_visual // given.shape[1]
    return [
        Piece("", "", start + number * share, share, "visual", False, number + 1)
        for number in range(given.shape[1])
    ]


def _with_visual_places(ids: list[int], learned: list[bool], tokenizer: Any) -> list[Piece]:
    """Text pieces, and one piece for every run of visual places."""
    pieces: list[Piece] = []
    start, runs = 0, 0
    while start < len(ids):
        end = start
        visual = ids[start] == VISUAL_PLACE
        while end < len(ids) and (ids[end] == VISUAL_PLACE) == visual:
            end += 1
        if visual:
            runs += 1
            pieces.append(Piece("", "", start, end - start, "visual", any(learned[start:end]), runs))
        else:
            pieces += text_pieces(ids[start:end], learned[start:end], tokenizer, first=start)
        start = end
    return pieces


def text_pieces(ids: Sequence[int], learned: Sequence[bool], tokenizer: Any, first: int = 0) -> list[Piece]:
    """A piece for every token, or for the tokens of one letter; joined, their texts are the decoded row.

    Args:
        ids: no visual places among them.
        learned: for each, whether the loss counts it.
        tokenizer: decodes.
        first: place of the first in its row.
    """
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    pieces: list[Piece] = []
    waiting = 0  # tokens before this one that are not written yet
    for place, token in enumerate(ids):
        own = list(ids[place - waiting : place + 1])
        before = list(ids[max(0, place - waiting - WINDOW) : place - waiting])
        text = _added(before, own, tokenizer)
        if text.endswith(UNFINISHED) and waiting < WINDOW and place + 1 < len(ids) and token not in special:
            waiting += 1
            continue
        kind = "special" if len(own) == 1 and token in special else "text"
        names = " ".join(
            f"{name} {i}" for name, i in zip(tokenizer.convert_ids_to_tokens(own), own, strict=True)
        )
        counts = any(learned[place - waiting : place + 1])
        pieces.append(Piece(text, names, first + place - waiting, len(own), kind, counts))
        waiting = 0
    return pieces


def _added(before: list[int], own: list[int], tokenizer: Any) -> str:
    """What `own` adds to the text of the tokens before it."""
    shorter, longer = _decoded(before, tokenizer), _decoded([*before, *own], tokenizer)
    return longer[len(shorter) :] if longer.startswith(shorter) else _decoded(own, tokenizer)


def _decoded(ids: list[int], tokenizer: Any) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) if ids else ""
