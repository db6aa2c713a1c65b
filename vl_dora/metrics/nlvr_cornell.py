"""Cornell NLVR: precision over pictures and consistency over presentations.

Source: github.com/lil-lab/nlvr, `nlvr/metrics_images.py` and `nlvr/metrics_structured_rep.py`. A picture is
named split-n-m-k.png, a statement n-m; labels are compared without regard to case. Unlike the scripts, a
missing or surplus prediction is an error even where the counts happen to agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class NLVRScores:
    """Both from 0 to 1.

    Args:
        precision: share of predictions that are right.
        consistency: share of presentations whose every prediction is right.
    """

    precision: float
    consistency: float


def is_right(prediction: str, label: str) -> bool:
    """Whether a prediction agrees with a label, ignoring case and outer white space."""
    return prediction.strip().lower() == label.strip().lower()


def summarise(right: Iterable[tuple[str, bool]]) -> NLVRScores:
    """Precision and consistency of (presentation, whether right) pairs, one a prediction.

    Raises:
        ValueError: there are no pairs.
    """
    hits, total = 0, 0
    consistent: dict[str, bool] = {}
    for presentation, hit in right:
        total += 1
        hits += hit
        consistent[presentation] = consistent.get(presentation, True) and hit
    if not total:
        raise ValueError("NLVR precision of no predictions is undefined; got an empty sequence")
    return NLVRScores(hits / total, sum(consistent.values()) / len(consistent))


def score_pictures(
    predictions: Mapping[str, str], labels: Mapping[str, str], *, permutations: int = 6
) -> NLVRScores:
    """Scores predictions for pictures.

    Args:
        predictions: "split-n-m-k.png" -> true or false.
        labels: statement "n-m" -> true or false.
        permutations: number of pictures a statement has; k counts from 0.

    Raises:
        ValueError: the predictions are not exactly one for every picture of every statement.
    """
    named = {name.split(".")[0].partition("-")[2]: text for name, text in predictions.items()}
    expected = {f"{statement}-{k}": label for statement, label in labels.items() for k in range(permutations)}
    return _score(named, expected)


def score_statements(predictions: Mapping[str, str], labels: Mapping[str, str]) -> NLVRScores:
    """Scores one prediction a statement, both named "n-m" (the structured task).

    Raises:
        ValueError: the predictions are not exactly one for every statement.
    """
    return _score(predictions, labels)


def _score(predictions: Mapping[str, str], labels: Mapping[str, str]) -> NLVRScores:
    missing = [name for name in labels if name not in predictions]
    surplus = [name for name in predictions if name not in labels]
    if missing or surplus:
        raise ValueError(
            f"expected one prediction for each of {len(labels)} items; missing {len(missing)} "
            f"{missing[:3]}, surplus {len(surplus)} {surplus[:3]}"
        )
    return summarise(
        (name.split("-")[0], is_right(predictions[name], label)) for name, label in labels.items()
    )
