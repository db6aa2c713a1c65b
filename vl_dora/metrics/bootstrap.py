"""Percentile bootstrap: the interval of a mean by resampling what it was taken over.

Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3 (percentile interval); whole
clusters are resampled where samples belong together (Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

# Numbers drawn at once; bounds the memory to some ten MB whatever the number of samples.
_DRAWN_AT_ONCE = 1 << 20


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Lower and upper end of the percentile bootstrap interval of the mean of `values`.

    Args:
        values: one score a sample; the ends have the same unit.
        clusters: the cluster of each sample. A resample draws as many clusters as there are, with
            replacement, and takes the mean over all their samples; None: every sample for itself.
        level: share of resampled means inside the interval, 0 < level < 1.
        resamples: number of resamples.
        seed: of the random numbers; the same seed gives the same interval.

    Raises:
        ValueError: no values, a NaN, clusters of another length, or `level` or `resamples` out of range.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
        raise ValueError(f"values must be one or more numbers in a row, none NaN; got shape {scores.shape}")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level={level} must lie between 0 and 1, resamples={resamples} must be at least 1")
    units = np.stack([scores, np.ones_like(scores)]) if clusters is None else _cluster_sums(scores, clusters)
    means = _resampled_means(units, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _cluster_sums(scores: np.ndarray, clusters: Sequence[Hashable]) -> np.ndarray:
    if len(clusters) != len(scores):
        raise ValueError(f"{len(scores)} values need as many clusters, got {len(clusters)}")
    numbers: dict[Hashable, int] = {}
    place = np.array([numbers.setdefault(name, len(numbers)) for name in clusters])
    return np.stack([np.bincount(place, weights=scores), np.bincount(place).astype(np.float64)])


def _resampled_means(units: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of resampled units; `units` is (2, n): each unit's sum and number of samples."""
    n = units.shape[1]
    kinds, copies = np.unique(units, axis=1, return_counts=True)
    # Drawing how often each kind of unit comes up is the same as drawing n units, and far less work
    # where most units are alike, as with right and wrong answers.
    alike = 8 * len(copies) <= n
    means = np.empty(resamples)
    rows = max(1, _DRAWN_AT_ONCE // (len(copies) if alike else n))
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        if alike:
            totals = rng.multinomial(n, copies / n, size=stop - start) @ kinds.T
        else:
            # The narrowest indices are the fastest to draw and to gather by.
            drawn = rng.integers(n, size=(stop - start, n), dtype=np.min_scalar_type(n - 1))
            totals = np.stack([_drawn_sums(row, drawn) for row in units], axis=1)
        means[start:stop] = totals[:, 0] / totals[:, 1]
    return means


def _drawn_sums(row: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    if row[0] == row.min() == row.max():
        return np.full(len(drawn), row[0] * drawn.shape[1])
    # Every index is in range; "wrap" only spares the check, which would cost most of the time.
    return row.take(drawn, mode="wrap").sum(axis=1)
