"""Caption tokens against the official tokenizer's, and the facts about it that are easily missed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vl_dora.metrics.ptb_tokenizer import tokenize


def one(caption: str) -> str:
    return tokenize([caption])[0]


def test_agrees_with_the_official_tokenizer_on_every_string_of_the_kit(kit):
    cases = kit("ptb_tokenizer")["cases"]
    assert len(cases) > 100
    found = tokenize([case["in"] for case in cases])
    assert [(c["in"], text) for c, text in zip(cases, found, strict=True) if text != c["out"]] == []


def test_agrees_with_the_official_tokenizer_on_every_caption_of_the_kit(kit):
    sample = kit("captions_coco80")
    given, expected = sample["inputs"], sample["tokenised"]
    references = [text for texts in given["references"].values() for text in texts]
    assert tokenize(references) == [text for texts in expected["references"].values() for text in texts]
    predictions = list(given["predictions"].values())
    assert tokenize(predictions) == [texts[0] for texts in expected["predictions"].values()]


def test_agrees_with_the_official_tokenizer_on_awkward_strings_read_as_one_file():
    # What the tokenizer in pycocoevalcap 1.2 (Java) made of these lines, punctuation tokens dropped.
    path = Path(__file__).with_name("ptb_official.json")
    cases = json.loads(path.read_text(encoding="utf-8"))
    assert len(cases) > 500
    found = tokenize([text for text, _ in cases])
    wrong = [(*case, text) for case, text in zip(cases, found, strict=True) if text != case[1]]
    assert wrong == []


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("", ""),
        (" \t ", ""),
        ("A man, on a bike.", "a man on a bike"),
        ("He can't; they CANNOT", "he ca n't they can not"),
        ("gonna gotta Lemme gimme wanna wannabe", "gon na got ta lem me gim me wan na wannabe"),
        ("'tis 'Twas more'n", "'t is 't was more 'n"),
        ("it's dogs' we've she'd", "it 's dogs we 've she 'd"),
        ("it’s don’t o’clock", "it 's do n't o’clock"),
        ("o'clock O'Brien y'all rock'n'roll", "o'clock o'brien y' all rock 'n' roll"),
        ("'quoted' \"too\" ``and'' “so”", "quoted too and so"),
        ("(a) [b] {c}", "-lrb- a -rrb- -lsb- b -rsb- -lcb- c -rcb-"),
        ("wow! what?! no!!!", "wow what ?! no !!!"),
        ("vs. them, Mr. X, etc. street.", "vs. them mr. x etc. street"),
        ("half ½ a £5 note, €5 or 5¢", "half 1/2 a # 5 note $ 5 or 5 cents"),
        ("😀 smile", "smile"),
        ("a - b -- c --- d ----- e", "a b c d ----- e"),
        ("a/b/c/d and/or", "a/b/c / d and/or"),
        ("5'10\" 80's '80s 12:30pm", "5 10 80 's '80s 12:30 pm"),
        ("me@x.com www.x.com/yz photo.jpg", "me@x.com www.x.com/yz photo.jpg"),
        ("R&B &amp; C++ AT&T", "r&b & c++ at&t"),
        (":) x ;-( =D x", ":-rrb- x ;--lrb- =d x"),
        ("<b>bold</b> x < y", "<b> bold </b> x < y"),
        ("naïve café 日本 U.S.-based 3-D", "naïve café 日本 u.s.-based 3-d"),
        ("no. 5, no. Fig. 3, fig.", "no. 5 no fig. 3 fig"),
        ("sh\u00ady", "shy"),
    ],
)
def test_cuts_as_the_official_tokenizer_was_seen_to(caption, tokens):
    assert one(caption) == tokens


def test_a_space_inside_a_token_is_a_no_break_space():
    assert one("22 3/4 street, call 555 1234 now") == "22\u00a03/4 street call 555 1234 now"
    assert one("call 555 123 4567") == "call 555\u00a0123\u00a04567"


def test_a_word_before_a_comma_keeps_its_full_stop():
    assert one("a cat., a dog.") == "a cat. a dog"


def test_what_a_caption_ends_in_depends_on_how_the_next_one_begins():
    assert tokenize(["corner of 8th and D.", "A street"])[0] == "corner of 8th and d"
    assert tokenize(["corner of 8th and D.", "a street"])[0] == "corner of 8th and d."
    assert tokenize(["see fig.", "3 dogs"])[0] == "see fig."
    assert tokenize(["see fig.", "dogs"])[0] == "see fig"


@pytest.mark.parametrize("separator", ["\n", "\r", "\x0b", "\x0c", "\u2028", "\u2029"])
def test_a_line_separator_inside_a_caption_is_a_space(separator):
    assert tokenize([f"a{separator}dog", "a cat"]) == ["a dog", "a cat"]


def test_a_long_run_of_anything_is_cut_in_reasonable_time():
    for piece in ("a", "a.", "a-", "1,", "<", "'", "a@", "(", "www.", "&"):
        assert isinstance(one(piece * 2000), str)
