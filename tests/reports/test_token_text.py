"""What is shown is what the tokens say, and what is coloured is what the labels say."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from vl_dora.batch import VISUAL_PLACE, Batch, Example
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.reports.token_text import rows_of, text_pieces

TEXTS = ["how many dogs are there? 12, or more!", "naïve ☃ snowmen 雪だるま 👩‍🚀", "a  b", ""]


def byte_pairs() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


TOKENIZERS = {"byte pairs": byte_pairs, "word pieces": lambda: build_tokenizer(TEXTS)}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_joined_pieces_are_the_decoded_row(kind, text):
    tokenizer = TOKENIZERS[kind]()
    ids = [
        tokenizer.bos_token_id,
        *tokenizer(text, add_special_tokens=False)["input_ids"],
        tokenizer.eos_token_id,
    ]
    pieces = text_pieces(ids, [False] * len(ids), tokenizer)
    assert "".join(piece.text for piece in pieces) == tokenizer.decode(
        ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    assert sum(piece.count for piece in pieces) == len(ids)
    assert [p.place for p in pieces] == [sum(p.count for p in pieces[:n]) for n in range(len(pieces))]
    assert [p.kind for p in (pieces[0], pieces[-1])] == ["special", "special"]


def test_letters_of_several_byte_tokens_are_one_piece():
    tokenizer = byte_pairs()
    ids = tokenizer("👩‍🚀", add_special_tokens=False)["input_ids"]
    pieces = text_pieces(ids, [True] * len(ids), tokenizer)
    assert len(pieces) < len(ids) and "\ufffd" not in "".join(piece.text for piece in pieces)


@pytest.fixture
def tokenizer():
    return build_tokenizer(TEXTS)


def test_an_encoder_decoder_has_two_rows_and_shares_of_visual_tokens(tokenizer):
    ids = torch.tensor([tokenizer("how many dogs")["input_ids"]])
    labels = torch.tensor([tokenizer("more")["input_ids"]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    pixels = torch.zeros(1, 2, 3, 8, 8, dtype=torch.uint8)
    batch = Batch((Example("1", "", ""),), ids, mask, pixels=pixels, labels=labels)
    encoder, decoder = rows_of(batch, 18, tokenizer)
    visual = [(p.place, p.count, p.picture) for p in encoder.pieces if p.kind == "visual"]
    start = ids.shape[1]
    assert visual == [(start, 9, 1), (start + 9, 9, 2)]
    assert not any(piece.learned for piece in encoder.pieces) and encoder.num_tokens == start + 18
    assert decoder.num_learned == decoder.num_tokens == labels.shape[1]
    assert [piece.text.strip() for piece in decoder.pieces] == ["<s>", "more", "</s>"]


def test_a_decoder_only_row_is_coloured_where_labels_are_and_its_places_are_one_piece(tokenizer):
    words = tokenizer("how many dogs are there", add_special_tokens=False)["input_ids"]
    ids = [words[0], VISUAL_PLACE, VISUAL_PLACE, VISUAL_PLACE, *words[1:], tokenizer.pad_token_id]
    learned = [False] * 5 + [True, False, True, False]
    assert len(learned) == len(ids)
    labels = [i if of_answer else -100 for i, of_answer in zip(ids, learned, strict=True)]
    batch = Batch(
        (Example("1", "", ""),),
        torch.tensor([ids]),
        torch.tensor([[True] * 8 + [False]]),
        labels=torch.tensor([labels]),
        prompt_lengths=torch.tensor([7]),
    )
    (row,) = rows_of(batch, 0, tokenizer)
    assert [(p.place, p.count) for p in row.pieces if p.kind == "visual"] == [(1, 3)]
    assert [(p.place, p.text.strip()) for p in row.pieces if p.learned] == [(5, "dogs"), (7, "there")]
    assert row.num_tokens == 8 and row.num_learned == 2
