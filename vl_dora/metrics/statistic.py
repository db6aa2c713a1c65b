"""A score as a function of how often each item counts, which is what resampling needs.

With every weight 1 a statistic gives the score itself. A bootstrap weights items by how often they were
drawn; a paired test puts the items of two predictions side by side and lets each count for one of the two or
the other. Shapes: R = resamples, n = items, k = columns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


WeightedScores = Callable[[Numbers], dict[str, Numbers]]
"""Weights (R, n) of the items -> name -> scores (R,) under them; NaN where a score is undefined."""


class Statistic(Protocol):
    """Scores of weighted items."""

    def __call__(self, weights: Numbers) -> dict[str, Numbers]:
        """Name -> scores (R,) under `weights` (R, n); NaN where a score is undefined."""
        ...

    def beside(self, other: Any) -> Statistic:
        """These items followed by the same items of another prediction, each to count in one of the two."""
        ...


@dataclass(frozen=True)
class Sums:
    """Scores that are a function of sums over the items, as nearly all are.

    Args:
        columns: (n, k), what each item adds to each of k sums.
        formula: sums (R, k) -> name -> scores (R,).
    """

    columns: Numbers
    formula: Callable[[Numbers], dict[str, Numbers]]

    def __call__(self, weights: Numbers) -> dict[str, Numbers]:
        """Name -> scores (R,) under `weights` (R, n)."""
        return self.formula(weights @ self.columns)

    def beside(self, other: Sums) -> Sums:
        """Both sets of items, these first."""
        return Sums(np.concatenate([self.columns, other.columns]), self.formula)


@dataclass(frozen=True)
class Together:
    """Several statistics over the same items as one."""

    parts: tuple[Statistic, ...]

    def __call__(self, weights: Numbers) -> dict[str, Numbers]:
        """The scores of all parts, in their order."""
        return {name: scores for part in self.parts for name, scores in part(weights).items()}

    def beside(self, other: Together) -> Together:
        """Each part beside its counterpart."""
        return Together(tuple(a.beside(b) for a, b in zip(self.parts, other.parts, strict=True)))


@dataclass(frozen=True)
class Scaled:
    """A statistic in another unit."""

    of: Statistic
    factor: float

    def __call__(self, weights: Numbers) -> dict[str, Numbers]:
        """The scores times the factor."""
        return {name: self.factor * scores for name, scores in self.of(weights).items()}

    def beside(self, other: Scaled) -> Scaled:
        """Both sets of items in this unit."""
        return Scaled(self.of.beside(other.of), self.factor)


@dataclass(frozen=True)
class Averaged:
    """Scores of several sets of items that lie side by side, and the average of their headlines.

    Args:
        parts: name of each set -> its own scores, which of them is its headline, and how many items it has.
    """

    parts: Mapping[str, tuple[WeightedScores, str, int]]

    def __call__(self, weights: Numbers) -> dict[str, Numbers]:
        """`average` and `<set>/<score>`, each (R,), under `weights` (R, n) of all items."""
        average, start = np.zeros(len(weights)), 0
        found: dict[str, Numbers] = {}
        for name, (scores, headline, count) in self.parts.items():
            own = scores(weights[:, start : start + count])
            average += own[headline] / len(self.parts)
            found |= {f"{name}/{key}": values for key, values in own.items()}
            start += count
        return {"average": average, **found}


def ratio(above: Numbers, below: Numbers) -> Numbers:
    """`above` / `below`, NaN where `below` is 0."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below != 0)


def means(values: Mapping[str, Sequence[float | None]], *, scale: float = 1.0) -> Sums:
    """The mean of each named row of values times `scale`; an item with None is no part of that mean."""
    names = list(values)
    rows = np.array([[np.nan if v is None else v for v in values[name]] for name in names], dtype=np.float64)
    counted = ~np.isnan(rows)
    columns = np.concatenate([np.where(counted, rows, 0.0), counted]).T

    def formula(sums: Numbers) -> dict[str, Numbers]:
        half = len(names)
        return {name: scale * ratio(sums[:, i], sums[:, half + i]) for i, name in enumerate(names)}

    return Sums(columns, formula)


def groups(kinds: Sequence[str], values: Sequence[float], *, scale: float = 1.0) -> dict[str, float]:
    """Kind -> mean of the values of that kind times `scale`, in order of first appearance."""
    found: dict[str, list[float]] = {}
    for kind, value in zip(kinds, values, strict=True):
        found.setdefault(kind, []).append(value)
    return {kind: scale * sum(mine) / len(mine) for kind, mine in found.items()}


@dataclass(frozen=True)
class Scored:
    """Scores of one set of predictions, and what their uncertainty is worked out from.

    Args:
        scores: name -> score on the scale of the official script; the first is the headline.
        scale: "percent", "0 to 1", or what else the scores are measured in.
        statistic: gives the same scores, before the official rounding, from weights of the items.
        clusters: the cluster of each item, drawn as a whole in a resample.
        by_type: breakdown -> group -> headline score.
        notes: what a reader of the scores must know.
    """

    scores: dict[str, float]
    scale: str
    statistic: Statistic
    clusters: Sequence[Hashable]
    by_type: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def at_once(statistic: Statistic, num_items: int) -> dict[str, float]:
    """The scores themselves: every item counts once."""
    return {name: float(row[0]) for name, row in statistic(np.ones((1, num_items))).items()}
