"""POPE: does a model say yes to things that are not in the picture? (Li et al. 2023, arXiv:2305.10355)

Source of the behaviour: `evaluate.py` of POPE and `eval_pope.py` of LLaVA, whose rule is one: an answer is
"no" if the text before its first full stop, commas removed and cut at single spaces, holds the very word No,
not or no. So "NO", "Not", "isn't" and "no\\n" all mean yes. Both scripts pair answers and labels by line;
here it is by id. Yes is the positive class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vl_dora.metrics.statistic import Numbers, Scored, Sums, Together, at_once, ratio

_NO_WORDS = frozenset(["No", "not", "no"])


@dataclass(frozen=True)
class Item:
    """One question: the category of its negatives, its picture, and whether the thing is there."""

    category: str
    image: str
    label: str


def verdict(text: str) -> str:
    """What the evaluators read an answer as: "no" or "yes"."""
    words = text.split(".")[0].replace(",", "").split(" ")
    return "no" if _NO_WORDS & set(words) else "yes"


def score(predictions: Sequence[str], items: Sequence[Item]) -> Scored:
    """F1, accuracy, precision, recall and share of yes, 0 to 1: means over the categories, and by category.

    Raises:
        ValueError: a label is neither yes nor no, or the sequences differ in length.
    """
    for item in items:
        if item.label not in ("yes", "no"):
            raise ValueError(f"a POPE label must be yes or no, got {item.label!r}")
    said = [verdict(text) for text in predictions]
    categories = list(dict.fromkeys(item.category for item in items))
    per_category = Together(tuple(_of_category(category, said, items) for category in categories))
    found = at_once(per_category, len(items))
    by_type: dict[str, dict[str, float]] = {
        name: {} for name in ("f1", "accuracy", "precision", "recall", "yes")
    }
    for key, value in found.items():
        category, _, name = key.rpartition("/")
        by_type[name][category] = value
    statistic = _Means(per_category, tuple(categories))
    return Scored(
        scores=at_once(statistic, len(items)),
        scale="0 to 1",
        statistic=statistic,
        clusters=[item.image for item in items],
        by_type=by_type,
        notes=("scores are means over the categories",) if len(categories) > 1 else (),
    )


@dataclass(frozen=True)
class _Means:
    """Each score's mean over the categories."""

    per_category: Together
    categories: tuple[str, ...]

    def __call__(self, weights: Numbers) -> dict[str, Numbers]:
        found: Mapping[str, Numbers] = self.per_category(weights)
        return {
            name: np.mean([found[f"{category}/{name}"] for category in self.categories], axis=0)
            for name in ("f1", "accuracy", "precision", "recall", "yes")
        }

    def beside(self, other: _Means) -> _Means:
        return _Means(self.per_category.beside(other.per_category), self.categories)


def _of_category(category: str, said: Sequence[str], items: Sequence[Item]) -> Sums:
    outcomes = (("yes", "yes"), ("yes", "no"), ("no", "no"), ("no", "yes"))  # (said, label): TP FP TN FN
    rows = [
        [float(item.category == category and (word, item.label) == outcome) for outcome in outcomes]
        for word, item in zip(said, items, strict=True)
    ]

    def formula(sums: Numbers) -> dict[str, Numbers]:
        tp, fp, tn, fn = sums.T
        # The scripts divide by zero where nothing was said or is positive; the score there is 0.
        found = {
            "f1": _or_zero(2 * tp, 2 * tp + fp + fn),
            "accuracy": ratio(tp + tn, sums.sum(axis=1)),
            "precision": _or_zero(tp, tp + fp),
            "recall": _or_zero(tp, tp + fn),
            "yes": ratio(tp + fp, sums.sum(axis=1)),
        }
        return {f"{category}/{name}": value for name, value in found.items()}

    return Sums(np.array(rows, dtype=np.float64).reshape(len(items), 4), formula)


def _or_zero(above: Numbers, below: Numbers) -> Numbers:
    return np.divide(above, below, out=np.zeros_like(below), where=below != 0)
