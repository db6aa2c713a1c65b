"""The words of a tiny base: none is unknown, and options are answered with capitals."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from vl_dora.models.tiny_tokenizer import build_tokenizer


def said(tokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)


def test_words_that_were_never_seen_are_spelled():
    tokenizer = build_tokenizer(["a red circle"])
    assert tokenizer.tokenize("Red image") == ["red", "i", "##m", "##a", "##g", "##e"]
    assert said(tokenizer, "Red image") == "red image"


@pytest.mark.parametrize(
    ("text", "expected"), [("B", "B"), ("a", "A"), ("F", "f"), ("a red circle", "a red circle"), ("B.", "b.")]
)
def test_a_letter_that_is_the_whole_answer_is_a_capital(text, expected, tmp_path):
    build_tokenizer(["a red circle"], capital_alone="ABCDE").save_pretrained(tmp_path)
    assert said(PreTrainedTokenizerFast.from_pretrained(tmp_path), text) == expected


def test_letters_keep_their_case_lost_unless_asked_for():
    assert said(build_tokenizer(["a red circle"]), "B") == "b"
