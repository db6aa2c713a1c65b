"""Finding and Figures: what the checks of a data set report, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

OK, WARNING, ERROR = "ok", "warning", "error"
BINS = 24

Item = TypeVar("Item")
# progress(items, how many, what is done with them) -> the same items; an entry point shows a bar.
Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


@dataclass(frozen=True)
class Finding:
    """One check and its outcome.

    Args:
        level: ok, warning, or error (a run would stop, or its score would not mean what it says).
        check: which check, a word.
        text: one sentence with the figures.
        examples: all that it is about, one sentence each, in the order of the files.
    """

    level: str
    check: str
    text: str
    examples: Sequence[str] = ()


@dataclass
class Figures:
    """Numbers of one split, for histograms and tables.

    Args:
        lengths: name, unit included -> summary made by `histogram`.
        shares: name -> {"distinct": int, "total": int, "top": [[value, count], ...]} made by `shares`.
    """

    lengths: dict[str, dict[str, Any]] = field(default_factory=dict)
    shares: dict[str, dict[str, Any]] = field(default_factory=dict)


def histogram(values: Sequence[float], limits: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Bins of equal width with their counts, and where values lie.

    Args:
        values: at least one.
        limits: name -> value that none may exceed.

    Returns:
        edges (one more than counts), counts, min, median, p95, max, limits. Bins of whole numbers are a
        whole number wide and begin half a unit below the first value.
    """
    array = np.asarray(values, dtype=np.float64)
    low, high = float(array.min()), float(array.max())
    if np.all(array == np.round(array)):
        width = max(1.0, np.ceil((high - low + 1) / BINS))
        edges = low - 0.5 + width * np.arange(int((high - low) // width) + 2)
    else:
        edges = np.linspace(low, high, BINS + 1)
    counts, _ = np.histogram(array, edges)
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "min": low,
        "median": float(np.median(array)),
        "p95": float(np.percentile(array, 95)),
        "max": high,
        "limits": dict(limits or {}),
    }


def shares(values: Iterable[str], most: int = 20) -> dict[str, Any]:
    """How often each value occurs: distinct ones, all together, and the most frequent."""
    counts = Counter(values)
    # Equally frequent ones in alphabetical order, so that two reports of one data set are equal.
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return {
        "distinct": len(counts),
        "total": sum(counts.values()),
        "top": [list(entry) for entry in ranked[:most]],
    }


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(number: int, noun: str) -> str:
    """`1 picture`, `1,000 pictures`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(part: int, whole: int) -> str:
    """`12.5 %` of a whole that may be 0."""
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
