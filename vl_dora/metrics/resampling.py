"""Bootstrap intervals of any score, and a paired test between two predictions.

Sources: the percentile interval of Efron & Tibshirani 1993, section 13.3, on whole clusters (Davison &
Hinkley 1997, section 3.8); the paired test is approximate randomisation (Noreen 1989; Yeh 2000, "More
accurate tests for the statistical significance of result differences"): were both predictions equally good,
it would not matter which of the two a cluster's items come from.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from vl_dora.metrics.statistic import Numbers, Scored, WeightedScores

# Weights made at once; bounds the memory to some 30 MB whatever the number of items.
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Difference:
    """How one score differs between two predictions of the same items.

    Args:
        difference: score of the second minus score of the first.
        low, high: interval of the difference, by the paired bootstrap.
        p_value: two-sided, of no difference; never 0, as the predictions as they are count as one draw.
    """

    difference: float
    low: float
    high: float
    p_value: float


def intervals(
    scored: Scored, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Name -> lower and upper end of the interval of each score; see `intervals_of`."""
    found = intervals_of(scored.statistic, scored.clusters, level=level, resamples=resamples, seed=seed)
    return {name: found[name] for name in scored.scores}


def intervals_of(
    statistic: WeightedScores,
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Name -> lower and upper end of the percentile bootstrap interval of each score of a statistic.

    Args:
        statistic: scores of weighted items.
        clusters: the cluster of each item, drawn as a whole.
        level: share of the resampled scores inside, 0 < level < 1.
        resamples: how many resamples are drawn.
        seed: the same seed gives the same intervals.

    Raises:
        ValueError: there are no items, or `level` or `resamples` is out of range.
    """
    _check(level, resamples)
    if not len(clusters):
        raise ValueError("an interval of scores of no items is undefined")
    members = _numbered(clusters)
    rng = np.random.default_rng(seed)
    found = [statistic(_drawn(rng, count, members)) for count in _portions(resamples, len(members))]
    return {name: _ends(np.concatenate([part[name] for part in found]), level) for name in found[0]}


def paired_differences(
    first: Scored, second: Scored, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """Name -> how the second prediction's score differs from the first's, with interval and p-value.

    Both must be scored on the same items in the same order, as two files paired with one reference file are.

    Raises:
        ValueError: the items differ, or `level` or `resamples` is out of range.
    """
    _check(level, resamples)
    if list(first.clusters) != list(second.clusters):
        raise ValueError("the two predictions are not of the same items, so they cannot be compared in pairs")
    members = _numbered(first.clusters)
    num, rng = int(members.max()) + 1, np.random.default_rng(seed)
    both = first.statistic.beside(second.statistic)
    one = np.ones((1, len(members)))
    seen = _minus(second.statistic(one), first.statistic(one))
    drawn: list[dict[str, Numbers]] = []
    swapped: list[dict[str, Numbers]] = []
    for count in _portions(resamples, 2 * len(members)):
        weights = _drawn(rng, count, members)
        drawn.append(_minus(second.statistic(weights), first.statistic(weights)))
        swap = rng.integers(2, size=(count, num))[:, members].astype(np.float64)
        swapped.append(_minus(both(np.hstack([swap, 1 - swap])), both(np.hstack([1 - swap, swap]))))
    found = {}
    for name in first.scores:
        difference = float(seen[name][0])
        chance = np.concatenate([part[name] for part in swapped])
        # Sums in another order differ in their last digits; a draw as extreme as the data must count.
        extreme = int(np.sum(np.abs(chance) >= abs(difference) - 1e-12 * max(1.0, abs(difference))))
        low, high = _ends(np.concatenate([part[name] for part in drawn]), level)
        found[name] = Difference(difference, low, high, (1 + extreme) / (1 + resamples))
    return found


def _check(level: float, resamples: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, resamples={resamples} must be at least 1")


def _numbered(clusters: Sequence[Hashable]) -> np.ndarray:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in clusters], dtype=np.int64)


def _portions(total: int, width: int) -> list[int]:
    rows = max(1, _AT_ONCE // max(width, 1))
    return [min(rows, total - start) for start in range(0, total, rows)]


def _drawn(rng: np.random.Generator, count: int, members: np.ndarray) -> Numbers:
    """(count, n): how often each item counts when as many clusters as there are are drawn."""
    num = int(members.max()) + 1
    drawn = rng.integers(num, size=(count, num)) + num * np.arange(count)[:, None]
    times = np.bincount(drawn.ravel(), minlength=count * num).reshape(count, num)
    return times[:, members].astype(np.float64)


def _minus(second: dict[str, Numbers], first: dict[str, Numbers]) -> dict[str, Numbers]:
    return {name: second[name] - first[name] for name in second}


def _ends(values: Numbers, level: float) -> tuple[float, float]:
    kept = values[~np.isnan(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
