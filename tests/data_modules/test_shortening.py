"""A long prompt loses lines it can spare, in their order and no more than needed, and nothing else."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from data_modules.collate import Collate, Sample
from data_modules.reading import BadSamples, with_fitting_texts
from data_modules.shortening import shortened, without
from vl_dora.batch import Example

LINES = ("is it ", "how many red dogs ", "a small cat ")
PROMPT = "two " + "".join(LINES) + "are left"


def spans(*order: int) -> tuple[tuple[int, int], ...]:
    """Where the lines of PROMPT stand, in an order of leaving."""
    starts = [4, 4 + len(LINES[0]), 4 + len(LINES[0] + LINES[1])]
    return tuple((starts[n], starts[n] + len(LINES[n])) for n in order)


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("limit", "prompt"),
    [
        (12, PROMPT),
        (11, "two is it a small cat are left"),
        (8, "two is it a small cat are left"),
        (7, "two a small cat are left"),
        (5, "two are left"),
        (2, "two are left"),
    ],
)
def test_the_first_lines_in_order_go_until_it_fits_and_the_rest_stays(limit, prompt):
    example = Example("1", PROMPT, "yes", spare=spans(1, 0, 2))
    found = shortened(example, words, limit)
    assert found.prompt == prompt
    # What is left to spare are the lines still there.
    assert [found.prompt[a:b] for a, b in found.spare] == [LINES[n] for n in (1, 0, 2) if LINES[n] in prompt]
    assert shortened(found, words, limit) == found


def test_no_fewer_lines_would_do():
    draw = np.random.RandomState(0)
    for _ in range(200):
        lines = [" ".join(["red"] * draw.randint(1, 5)) + " " for _ in range(draw.randint(1, 9))]
        ends = np.cumsum([4, *map(len, lines)])
        order = draw.permutation(len(lines))
        spare = tuple((int(ends[n]), int(ends[n + 1])) for n in order)
        example = Example("1", "two " + "".join(lines) + "end", "", spare=spare)
        limit = int(draw.randint(2, words(example.prompt) + 1))
        found = shortened(example, words, limit)
        gone = len(spare) - len(found.spare)
        assert words(found.prompt) <= limit
        assert gone == 0 or words(without(example, gone - 1).prompt) > limit
        kept = [lines[n] for n in sorted(order[gone:])]
        assert found.prompt == "two " + "".join(kept) + "end"


def test_a_batch_holds_the_prompt_as_it_was_read(tokenizer):
    collate = Collate(tokenizer, max_prompt_tokens=10, on_long="shorten")
    long, short = Example("1", PROMPT, "yes", spare=spans(0, 1, 2)), Example("2", "two dogs", "yes")
    batch = collate([Sample(long, "yes"), Sample(short, "yes")])
    assert batch.examples[0].prompt == "two a small cat are left"
    assert batch.input_ids[0].tolist() == tokenizer("two a small cat are left")["input_ids"]
    assert batch.examples[1] == short


def test_what_may_not_be_spared_is_never_cut(tokenizer):
    collate = Collate(tokenizer, max_prompt_tokens=4, on_long="shorten")
    message = r"sample '1': its prompt has 5 tokens without what it can spare, data.max_prompt_tokens=4"
    with pytest.raises(ValueError, match=message):
        collate([Sample(Example("1", PROMPT, "yes", spare=spans(0, 1, 2)), "yes")])
    with pytest.raises(ValueError, match="its target has 5 tokens, data.max_target_tokens=4"):
        Collate(tokenizer, max_target_tokens=4, on_long="shorten")(
            [Sample(Example("1", "yes", "is it raining"), "is it raining")]
        )


def test_a_split_is_shortened_once_and_counted(tokenizer, caplog):
    collate = Collate(tokenizer, max_prompt_tokens=10, on_long="shorten")
    long = Example("1", PROMPT, "yes", spare=spans(2, 0, 1))
    samples = [(long, "file, row 1"), (Example("2", "two dogs", "yes"), "file, row 2")]
    with caplog.at_level(logging.WARNING):
        kept = with_fitting_texts(samples, collate, BadSamples("val", "raise", 0), training=False)
    assert [example.prompt for example, _ in kept] == ["two how many red dogs are left", "two dogs"]
    assert "leaves out 2 lines of the prompts of 1 of 2 samples of split val" in caplog.text


def test_a_sample_too_long_without_its_lines_is_bad(tokenizer):
    collate = Collate(tokenizer, max_prompt_tokens=4, on_long="shorten")
    bad = BadSamples("val", "skip", 5)
    samples = [(Example("1", PROMPT, "yes", spare=spans(0, 1, 2)), "file, row 1")]
    assert with_fitting_texts(samples, collate, bad, training=False) == []
    assert "file, row 1: sample '1': its prompt has 5 tokens without" in bad.messages[0]
