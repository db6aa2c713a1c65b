"""Histograms as drawings inside a page: rectangles in per mille of their room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_LIMITS_BEYOND = 1.5  # a limit farther right than so many times the largest value is told, not drawn


@dataclass(frozen=True)
class Bar:
    """One bin: left, width and height in per mille, and words for it."""

    left: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Line:
    """One limit: where it stands in per mille; None where it lies too far right to be drawn."""

    left: float | None
    words: str


@dataclass(frozen=True)
class Chart:
    """A histogram ready to be drawn."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    low: str
    high: str


def bars(shape: Mapping[str, Any]) -> Chart:
    """The drawing of a histogram.

    Args:
        shape: edges, counts and limits, as `data_modules.checks.finding.histogram` makes it.
    """
    edges, counts = shape["edges"], shape["counts"]
    low, high = edges[0], edges[-1]
    near = [value for value in shape["limits"].values() if value <= MOST_LIMITS_BEYOND * high]
    # Half a unit to the right of a limit ends the last bin that it allows.
    high = max([high, *(value + 0.5 for value in near)])
    span, tallest = (high - low) or 1.0, max(counts) or 1

    def across(value: float) -> float:
        return round(1000 * (value - low) / span, 2)

    drawn = tuple(
        Bar(
            across(left),
            across(right) - across(left),
            round(1000 * count / tallest, 2),
            _words(left, right, count),
        )
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    )
    lines = tuple(
        Line(across(value + 0.5) if value in near else None, f"{name}: {number(value)}")
        for name, value in shape["limits"].items()
    )
    return Chart(drawn, lines, number(shape["min"]), number(max([shape["max"], *near])))


def number(value: float) -> str:
    """A number as people write it: whole ones without decimals, others with two at most."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}".rstrip("0").rstrip(".")


def _words(left: float, right: float, count: int) -> str:
    """`12: 3 samples`, or `12 to 14` for a wider bin; bins of whole numbers begin at a half."""
    if left % 1 == 0.5:
        left, right = left + 0.5, right - 0.5
    where = number(left) if left == right else f"{number(left)} to {number(right)}"
    return f"{where}: {count:,}"
