"""From a rendered conversation to tokens, each of which is known to be of an answer or not.

Tokens are judged by the characters that they stand for, never by their number. The text is cut at pictures,
and each piece tokenized as a whole, so it reads as the tokenizer writes running text. Where a token would
stand for characters on both sides of an answer's edge (tokenizers without word borders make such), the piece
is cut there too. A conversation's tokens therefore begin with those of its prompt alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_modules.templates import IMAGE, Rendered
from vl_dora.batch import VISUAL_PLACE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokens:
    """A conversation as a decoder-only network reads it.

    Args:
        ids: token ids; `VISUAL_PLACE` for each visual token.
        supervised: whether a token is of an answer or ends one.
        prompt_length: tokens before the last answer.
    """

    ids: list[int]
    supervised: list[bool]
    prompt_length: int

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class _Piece:
    """Text between two pictures, and where it starts among all characters."""

    start: int
    text: str


def tokenize(
    conversations: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase, visual_tokens: int
) -> list[Tokens]:
    """Tokens of conversations, the tokenizer's own begin token in front where it writes one.

    Args:
        conversations: with `<image>` where pictures stand.
        tokenizer: a fast one.
        visual_tokens: places for each picture.
    """
    pieces = [_pieces(one.text) for one in conversations]
    encoded = iter(_encode([piece.text for row in pieces for piece in row], tokenizer))
    begin = begin_token(tokenizer)
    found = []
    for one, row in zip(conversations, pieces, strict=True):
        ids: list[int] = []
        supervised: list[bool] = []
        prompt: int | None = None
        for number, piece in enumerate(row):
            if number:
                ids += [VISUAL_PLACE] * visual_tokens
                supervised += [False] * visual_tokens
            for token, place in _settled(piece, next(encoded), one, tokenizer):
                # Tokens are in the order of the text; what starts before the last answer is its prompt.
                if prompt is None and place[0] >= one.last:
                    prompt = len(ids)
                ids.append(token)
                supervised.append(any(_inside(place, span) for span in one.answers))
        if begin is not None and ids[:1] != [begin]:
            ids, supervised = [begin, *ids], [False, *supervised]
            prompt = None if prompt is None else prompt + 1
        found.append(Tokens(ids, supervised, len(ids) if prompt is None else prompt))
    return found


def _pieces(text: str) -> list[_Piece]:
    found, start = [], 0
    for part in text.split(IMAGE):
        found.append(_Piece(start, part))
        start += len(part) + len(IMAGE)
    return found


_Encoded = list[tuple[int, tuple[int, int]]]


def _encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[_Encoded]:
    """(id, (first character, last character + 1)) of every token of every text."""
    if not texts:
        return []
    made = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_offsets_mapping=True,
        padding=False,
        truncation=False,
        verbose=False,
    )
    return [
        list(zip(ids, map(tuple, places), strict=True))
        for ids, places in zip(made["input_ids"], made["offset_mapping"], strict=True)
    ]


def _settled(
    piece: _Piece, encoded: _Encoded, conversation: Rendered, tokenizer: PreTrainedTokenizerBase
) -> Iterable[tuple[int, tuple[int, int]]]:
    """The piece's tokens with places among all characters, none of them across an answer's edge."""
    edges = sorted(
        edge - piece.start
        for edge in {conversation.last, *(edge for span in conversation.answers for edge in span)}
        if piece.start < edge < piece.start + len(piece.text)
    )
    torn = [edge for edge in edges if any(start < edge < end for _, (start, end) in encoded)]
    if not torn:
        return [(token, (start + piece.start, end + piece.start)) for token, (start, end) in encoded]
    ends = [*torn, len(piece.text)]
    parts = [_Piece(piece.start + a, piece.text[a:b]) for a, b in zip([0, *torn], ends, strict=True)]
    again = _encode([part.text for part in parts], tokenizer)
    return [
        (token, (start + part.start, end + part.start))
        for part, some in zip(parts, again, strict=True)
        for token, (start, end) in some
    ]


def _inside(place: tuple[int, int], span: tuple[int, int]) -> bool:
    """Whether a token stands for characters of a span; one that stands for none belongs to what follows."""
    start, end = place
    return span[0] <= start < span[1] if start == end else start < span[1] and end > span[0]


def begin_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The begin token that the tokenizer puts before a text of its own accord; None where it puts none."""
    first = tokenizer("a")["input_ids"][:1]
    return first[0] if first and first[0] == tokenizer.bos_token_id else None
