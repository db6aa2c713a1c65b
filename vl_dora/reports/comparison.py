"""Methods side by side: scores over seeds and samples, paired tests, and whether they may be compared.

Intervals resample twice, seeds and clusters of samples (Bouthillier et al. 2021, arXiv:2103.03098). Pairs of
methods are compared on the same samples, whose clusters change sides together (a sign-flip test); p-values
are corrected for their number (Holm 1979). The test takes the runs as they are, so a p-value says nothing of
other seeds: with three each, no exchange of whole runs could come below 0.1.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vl_dora.reports.tables import look_up
from vl_dora.reports.trials import Trial, differing, labels

RESAMPLES = 2000


@dataclass(frozen=True)
class Method:
    """The finished trials of one label.

    Args:
        label: what the method is called.
        trials: one a seed.
        mean: of the headline over its trials, percent.
        spread: their standard deviation; None for one trial.
        interval: 95 %, over seeds and samples; None where samples have no score.
    """

    label: str
    trials: tuple[Trial, ...]
    mean: float
    spread: float | None
    interval: tuple[float, float] | None

    def figure(self, key: str) -> float | None:
        """Mean over the trials of a figure in `results.json`, dots between levels."""
        found = [look_up(trial.results or {}, key) for trial in self.trials]
        numbers = [float(value) for value in found if isinstance(value, int | float)]
        return statistics.fmean(numbers) if numbers else None


@dataclass(frozen=True)
class Pair:
    """Second method minus first, percent points, on the same samples."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    corrected: float


@dataclass(frozen=True)
class Comparison:
    """Everything that a page or a table shows.

    Args:
        headline: name of the score.
        methods: in the order in which their runs came.
        pairs: every two methods that answered the same samples.
        failed: label and trial of those that did not finish.
        conditions: what stops the methods from being comparable as they are, a sentence each; empty: nothing.
        varied: names of settings that differ between the methods.
    """

    headline: str
    methods: tuple[Method, ...]
    pairs: tuple[Pair, ...]
    failed: tuple[tuple[str, Trial], ...]
    conditions: tuple[str, ...]
    varied: tuple[str, ...]


def compare_trials(trials: Sequence[Trial], *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Groups trials by method and compares every two methods.

    Raises:
        ValueError: no trial finished, or they were scored by different headlines.
    """
    names = labels(trials)
    finished = [(name, t) for name, t in zip(names, trials, strict=True) if t.results is not None]
    failed = tuple((name, t) for name, t in zip(names, trials, strict=True) if t.results is None)
    scored = [(name, t) for name, t in finished if t.results and t.results.get("scores")]
    if not scored:
        raise ValueError(
            f"none of the {len(trials)} runs finished with a score"
            + (f"; the first failed with: {failed[0][1].error}" if failed else "")
        )
    headlines = {str(look_up(t.results or {}, "headline")) for _, t in scored}
    if len(headlines) > 1:
        raise ValueError(f"runs are scored by {', '.join(sorted(headlines))}; compare those of one task")
    headline = headlines.pop()
    groups: dict[str, list[Trial]] = {}
    for name, trial in scored:
        groups.setdefault(name, []).append(trial)
    rng = np.random.default_rng(seed)
    methods = tuple(_method(name, own, headline, resamples, rng) for name, own in groups.items())
    return Comparison(
        headline,
        methods,
        _pairs(methods, resamples, rng),
        failed,
        tuple(conditions(methods)),
        tuple(differing([t for _, t in scored])),
    )


def _method(
    label: str, trials: list[Trial], headline: str, resamples: int, rng: np.random.Generator
) -> Method:
    values = [float(look_up(trial.results or {}, f"scores.{headline}")) for trial in trials]
    interval = None
    if all(trial.scores for trial in trials):
        drawn = _resampled(*_table(trials), resamples, rng)
        low, high = np.quantile(drawn, [0.025, 0.975])
        interval = (float(low), float(high))
    spread = statistics.stdev(values) if len(values) > 1 else None
    return Method(label, tuple(trials), statistics.fmean(values), spread, interval)


def _table(trials: Sequence[Trial]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of scores and numbers of samples, both (trials, clusters)."""
    clusters: dict[str, int] = {}
    members = []
    for trial in trials:
        names = [_cluster(trial.answers[name]) for name in trial.scores]
        members.append([clusters.setdefault(name, len(clusters)) for name in names])
    width = len(clusters)
    sums = [
        np.bincount(member, weights=list(trial.scores.values()), minlength=width)
        for member, trial in zip(members, trials, strict=True)
    ]
    counts = [np.bincount(member, minlength=width).astype(np.float64) for member in members]
    return np.stack(sums), np.stack(counts)


def _cluster(line: Mapping[str, Any]) -> str:
    return str(line.get("cluster") or line["id"])


def _resampled(sums: np.ndarray, counts: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples,) means under drawn seeds and drawn clusters."""
    num_trials, num_clusters = sums.shape
    found = np.empty(resamples)
    portion = max(1, 2**22 // num_clusters)
    for start in range(0, resamples, portion):
        size = min(portion, resamples - start)
        seeds = rng.multinomial(num_trials, np.full(num_trials, 1 / num_trials), size=size)
        times = rng.multinomial(num_clusters, np.full(num_clusters, 1 / num_clusters), size=size)
        means = (times @ sums.T) / np.maximum(times @ counts.T, 1)
        found[start : start + size] = (seeds * means).sum(1) / num_trials
    return found


def _pairs(methods: Sequence[Method], resamples: int, rng: np.random.Generator) -> tuple[Pair, ...]:
    found = []
    for first, second in combinations(methods, 2):
        both = [*first.trials, *second.trials]
        asked = both[0].scores.keys()
        if not asked or any(trial.scores.keys() != asked for trial in both):
            continue
        sums, (counts, *_) = _table(both)
        split = len(first.trials)
        ours, theirs = sums[split:], sums[:split]
        total = counts.sum()
        change = ours.mean(0) - theirs.mean(0)
        difference = float(change.sum() / total)
        signs = rng.integers(2, size=(resamples, len(change))) * 2 - 1
        chance = np.abs(signs @ change) / total
        # Sums in another order differ in their last digits; a draw as extreme as the data must count.
        extreme = int((chance >= abs(difference) - 1e-9).sum())
        drawn = _resampled_difference(theirs, ours, counts, resamples, rng)
        low, high = np.quantile(drawn, [0.025, 0.975])
        p_value = (1 + extreme) / (1 + resamples)
        found.append((first.label, second.label, difference, float(low), float(high), p_value))
    corrected = holm([row[-1] for row in found])
    return tuple(Pair(*row, corrected=p) for row, p in zip(found, corrected, strict=True))


def _resampled_difference(
    first: np.ndarray, second: np.ndarray, counts: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """(resamples,) differences: the seeds of each method are drawn on their own, the clusters together."""
    found = np.empty(resamples)
    num_clusters = len(counts)
    for place in range(resamples):
        times = np.bincount(rng.integers(num_clusters, size=num_clusters), minlength=num_clusters)
        ends = [rows[rng.integers(len(rows), size=len(rows))].mean(0) for rows in (first, second)]
        found[place] = ((ends[1] - ends[0]) * times).sum() / (times @ counts)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that hold for all of the tests together."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def conditions(methods: Sequence[Method]) -> list[str]:
    """What is not equal between the methods although a comparison needs it to be, a sentence each.

    A network that does not train has no budget and no order to be equal.
    """
    trained = [m for m in methods if any(look_up(t.results or {}, "trainable") for t in m.trials)]
    found = []
    for key, what, those in (
        ("split", "scored on different splits", methods),
        ("data_folder", "scored on different data folders", methods),
        ("steps", "trained for different numbers of steps", trained),
        ("samples_seen", "trained on different numbers of samples", trained),
    ):
        found += _unequal(what, {m.label: _values(m, key) for m in those})
    seeds = {m.label: ", ".join(str(s) for s in sorted(t.seed for t in m.trials)) for m in methods}
    found += _unequal("different seeds", seeds)
    orders: dict[int, set[str]] = {}
    for trial in (trial for method in trained for trial in method.trials):
        orders.setdefault(trial.seed, set()).add(str(look_up(trial.results or {}, "data_order")))
    mixed = sorted(seed for seed, digests in orders.items() if len(digests) > 1)
    if mixed:
        found.append(f"other samples, or the same in another order, under seed {', '.join(map(str, mixed))}")
    if len({frozenset(trial.answers) for method in methods for trial in method.trials}) > 1:
        found.append("not all of them answered the same samples; pairs that did not are left out below")
    return found


def _values(method: Method, key: str) -> str:
    return ", ".join(sorted({str(look_up(trial.results or {}, key)) for trial in method.trials}))


def _unequal(what: str, told: Mapping[str, str]) -> list[str]:
    """One sentence that lists the methods of each value; nothing where all have the same."""
    by_value: dict[str, list[str]] = {}
    for label, value in told.items():
        by_value.setdefault(value, []).append(label)
    parts = "; ".join(f"{value}: {', '.join(names)}" for value, names in by_value.items())
    return [f"{what} ({parts})"] if len(by_value) > 1 else []
