"""Exact match by hand."""

from __future__ import annotations

import pytest

from vl_dora.metrics.exact_match import exact_match


def test_ignores_case_and_outer_space_only():
    assert exact_match([" True", "a b", "a  b", "tru"], [["true"], ["A B "], ["a b"], ["true"]]) == (
        True,
        True,
        False,
        False,
    )


def test_any_of_the_answers_will_do():
    assert exact_match(["b", "c"], [["a", "b"], ["a", "b"]]) == (True, False)


def test_no_answers_or_unequal_lengths_are_errors():
    with pytest.raises(ValueError, match="'x' has no answers"):
        exact_match(["x"], [[]])
    with pytest.raises(ValueError):
        exact_match(["x"], [])
