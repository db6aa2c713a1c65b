"""Histograms count every value once, tables rank by number."""

from __future__ import annotations

import numpy as np
import pytest

from data_modules.checks.files import digest
from data_modules.checks.finding import BINS, histogram, shares
from data_modules.checks.texts import removed


@pytest.mark.parametrize("high", [1, 5, 24, 25, 1000])
def test_bins_of_whole_numbers_are_whole_numbers_wide_and_hold_every_value(high):
    values = np.random.default_rng(high).integers(0, high + 1, 500)
    found = histogram(values.tolist())
    edges = np.array(found["edges"])
    assert len(found["counts"]) == len(edges) - 1 <= BINS + 1
    for left, right, count in zip(edges[:-1], edges[1:], found["counts"], strict=True):
        assert count == ((values > left) & (values < right)).sum()
    assert sum(found["counts"]) == 500
    assert set(edges % 1) == {0.5}


def test_bins_of_fractions_hold_every_value():
    found = histogram([0.25, 1.5, 9.75], {"limit": 3})
    assert sum(found["counts"]) == 3 and (found["min"], found["max"]) == (0.25, 9.75)
    assert found["limits"] == {"limit": 3} and found["median"] == 1.5


def test_shares_rank_by_number_and_then_by_name():
    found = shares(["b", "a", "c", "c"], most=2)
    assert found == {"distinct": 3, "total": 4, "top": [["c", 2], ["a", 1]]}


@pytest.mark.parametrize(
    ("full", "kept", "gone"),
    [
        ("sabcde", "sae", "bcd"),
        ("sae", "sae", ""),
        ("sabe", "se", "ab"),
        ("aaaa", "aa", "aa"),
        ("abc", "", "abc"),
    ],
)
def test_what_was_removed_is_what_lies_between_beginning_and_end(full, kept, gone):
    assert removed([*map(ord, full)], [*map(ord, kept)]) == [*map(ord, gone)]


def test_a_digest_tells_shapes_and_values_apart():
    one = np.arange(6, dtype=np.uint8)
    assert digest([one.reshape(2, 3)]) == digest([one.reshape(2, 3).copy(order="F")])
    assert digest([one.reshape(2, 3)]) != digest([one.reshape(3, 2)])
    assert digest([one]) != digest([one + 1])
