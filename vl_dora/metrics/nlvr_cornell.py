"""Cornell NLVR: precision over pictures and consistency over presentations.

Source: github.com/lil-lab/nlvr, `nlvr/metrics_images.py` and `nlvr/metrics_structured_rep.py`. A picture is
named split-n-m-k.png, a statement n-m; labels are compared without regard to case. Unlike the scripts, a
missing or surplus prediction is an error even where the counts happen to agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vl_dora.metrics.statistic import Sums, means

LABELS = ("true", "false")


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


def notes(predictions: Mapping[str, str]) -> tuple[str, ...]:
    """What to know of predictions that are neither true nor false, whatever their case."""
    strays = {name: text for name, text in predictions.items() if text.strip().lower() not in LABELS}
    if not strays:
        return ()
    name, text = next(iter(strays.items()))
    return (
        f"{len(strays)} of {len(predictions)} predictions are neither true nor false and count as wrong, "
        f"such as {text!r} for {name}",
    )


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


def statistic(presentations: Sequence[str], right: Sequence[bool]) -> Sums:
    """`precision` and `consistency`, 0 to 1, of predictions by how often each counts.

    Args:
        presentations: of n predictions; those of one belong together, and a resample draws all or none.
        right: whether each of them is right.
    """
    whole: dict[str, bool] = {}
    for name, hit in zip(presentations, right, strict=True):
        whole[name] = whole.get(name, True) and bool(hit)
    consistent: list[float | None] = []
    for name in presentations:
        # A presentation counts once, with its first prediction.
        value = whole.pop(name, None)
        consistent.append(None if value is None else float(value))
    return means({"precision": [float(hit) for hit in right], "consistency": consistent})


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
