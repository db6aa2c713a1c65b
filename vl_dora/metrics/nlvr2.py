"""NLVR2: accuracy over examples and consistency over sentences (Suhr et al. 2019, arXiv:1811.00491).

Source of the behaviour: `nlvr2/eval/metrics.py` of lil-lab/nlvr. An identifier is split-set-pair-sentence;
the examples of one sentence are those that agree but for the pair, and a sentence is consistent if all are
right. Case does not count. Unlike the script, which compares counts only, a missing or surplus prediction is
an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vl_dora.metrics.nlvr_cornell import is_right, notes
from vl_dora.metrics.statistic import Scored, Together, at_once, means


def sentence_of(identifier: str) -> str:
    """The identifier without its pair: what the examples of one sentence share.

    Raises:
        ValueError: the identifier has not four parts.
    """
    parts = identifier.split("-")
    if len(parts) != 4:
        raise ValueError(
            f"the identifier {identifier!r} must be split-set-pair-sentence, such as test1-0-1-0"
        )
    return f"{parts[0]}-{parts[1]}-{parts[3]}"


def score(
    predictions: Mapping[str, str],
    labels: Mapping[str, str],
    subsets: Mapping[str, frozenset[str]] | None = None,
) -> Scored:
    """Accuracy and consistency, 0 to 1, of all examples and of named subsets of them.

    Args:
        predictions: identifier -> True or False, one for every label.
        labels: identifier -> True or False.
        subsets: name -> identifiers, each among the labels.

    Raises:
        ValueError: an identifier is malformed, or a subset holds none of the labels.
    """
    right = {name: float(is_right(predictions[name], label)) for name, label in labels.items()}
    clusters = [sentence_of(name) for name in labels]
    parts = [_both("", list(labels), right)]
    for subset, members in (subsets or {}).items():
        if not members & labels.keys():
            raise ValueError(f"none of the {subset} identifiers is among the references")
        parts.append(_both(f"{subset}_", list(labels), right, members))
    statistic = Together(tuple(parts))
    return Scored(
        scores=at_once(statistic, len(labels)),
        scale="0 to 1",
        statistic=statistic,
        clusters=clusters,
        by_type={"label": _by_label(labels, right)},
        notes=notes(predictions),
    )


def _both(
    prefix: str, names: Sequence[str], right: Mapping[str, float], members: frozenset[str] | None = None
):
    inside = [members is None or name in members for name in names]
    whole: dict[str, float] = {}
    for name, counts in zip(names, inside, strict=True):
        if counts:
            sentence = sentence_of(name)
            whole[sentence] = min(whole.get(sentence, 1.0), right[name])
    first: set[str] = set()
    consistent: list[float | None] = []
    for name, counts in zip(names, inside, strict=True):
        sentence = sentence_of(name)
        consistent.append(whole[sentence] if counts and sentence not in first else None)
        if counts:
            first.add(sentence)
    return means(
        {
            f"{prefix}accuracy": [
                right[n] if counts else None for n, counts in zip(names, inside, strict=True)
            ],
            f"{prefix}consistency": consistent,
        }
    )


def _by_label(labels: Mapping[str, str], right: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for name, label in labels.items():
        found.setdefault(label.lower(), []).append(right[name])
    return {label: sum(hits) / len(hits) for label, hits in sorted(found.items())}
