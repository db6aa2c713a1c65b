"""Prompts with subtitles: every character is told what it is, and lines go from far to near."""

from __future__ import annotations

import numpy as np
import pytest

from vl_dora.tasks.subtitles import filled, moment_of, moment_text

LINES = tuple(
    {"text": text, "start": float(start), "end": float(start + 2)}
    for text, start in (("Hello {question}.", 0), ("Where is she?", 4), ("Late.", 8), ("Bye.", 12))
)
TEMPLATE = "[Subs] {subtitles} [Q] {question} tvqa: "


def test_the_lines_stand_in_the_order_of_time_and_braces_in_them_mean_nothing():
    prompt, spare = filled(TEMPLATE, {"question": "Who {subtitles}?"}, LINES, None)
    assert prompt == "[Subs] Hello {question}. Where is she? Late. Bye. [Q] Who {subtitles}? tvqa: "
    assert [prompt[a:b] for a, b in spare] == ["Bye. ", "Late. ", "Where is she? ", "Hello {question}. "]


@pytest.mark.parametrize(
    ("moment", "order"),
    [
        ((4.0, 6.0), ["Bye. ", "Late. ", "Hello {question}. ", "Where is she? "]),
        ((9.5, 9.6), ["Hello {question}. ", "Where is she? ", "Bye. ", "Late. "]),
        ((0.0, 14.0), ["Bye. ", "Late. ", "Where is she? ", "Hello {question}. "]),
        ((20.0, 21.0), ["Hello {question}. ", "Where is she? ", "Late. ", "Bye. "]),
    ],
)
def test_lines_farthest_from_the_moment_go_first_and_of_equal_ones_the_later(moment, order):
    prompt, spare = filled(TEMPLATE, {"question": "Who?"}, LINES, moment)
    assert [prompt[a:b] for a, b in spare] == order


def test_a_prompt_without_lines_has_no_gap():
    assert filled(TEMPLATE, {"question": "Who?"}, (), None) == ("[Subs] [Q] Who? tvqa: ", ())
    empty = ({"text": "", "start": 0.0, "end": 1.0},)
    assert filled(TEMPLATE, {"question": "Who?"}, empty, None) == ("[Subs] [Q] Who? tvqa: ", ())


def test_what_is_left_without_all_lines_is_the_prompt_that_has_none():
    prompt, spare = filled(TEMPLATE, {"question": "Who?"}, LINES, (3.0, 5.0))
    kept = np.ones(len(prompt), dtype=bool)
    for start, end in spare:
        assert kept[start:end].all()
        kept[start:end] = False
    rest = "".join(letter for letter, keep in zip(prompt, kept, strict=True) if keep)
    assert rest == filled(TEMPLATE, {"question": "Who?"}, (), None)[0]


def test_a_template_without_subtitles_has_nothing_to_spare():
    assert filled("{question} tvqa: ", {"question": "Who?"}, LINES, None) == ("Who? tvqa: ", ())


def test_moments_are_texts_or_two_numbers():
    assert moment_of({"ts": "76.01-84.2"}) == moment_of({"ts": [76.01, 84.2]}) == (76.01, 84.2)
    assert moment_of({"ts": "nan-nan"}) is None and moment_of({}) is None
    assert moment_text({"ts": "76.01-84.2"}, as_list=True) == "76.01-84.2"
    assert moment_text({"ts": [76.01, 84]}, as_list=False) == "76.01-84"
    assert moment_text({"ts": [76.01, 84]}, as_list=True) == "[76.01, 84]"
