"""Multiple-choice video questions: TVQA and How2QA (VALUE, Li et al. 2021) and NExT-QA (Xiao et al. 2021).

Sources of the behaviour: the evaluators of VALUE (index equality, percent, two places) and `eval_mc.py` of
NExT-QA (by type; "temporal, present" counts as "temporal, next"; causal, temporal and descriptive as
wholes).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from vl_dora.metrics.statistic import Scored, at_once, groups, means

_MERGED = {"TP": "TN"}
_FAMILIES = {"C": "causal", "T": "temporal", "D": "descriptive"}
_NEXTQA_TYPES = {
    "CW": "why",
    "CH": "how",
    "TN": "before and after",
    "TC": "when",
    "DC": "count",
    "DL": "location",
    "DO": "other",
}


def score(
    predictions: Sequence[int],
    answers: Sequence[int],
    clusters: Sequence[Hashable],
    kinds: Sequence[str] = (),
    *,
    breakdown: str = "show",
) -> Scored:
    """Accuracy in percent, two places; by kind where kinds are given."""
    right = [float(said == answer) for said, answer in zip(predictions, answers, strict=True)]
    statistic = means({"accuracy": right}, scale=100.0)
    return Scored(
        scores={name: round(value, 2) for name, value in at_once(statistic, len(right)).items()},
        scale="percent",
        statistic=statistic,
        clusters=clusters,
        by_type={breakdown: _rounded(groups(kinds, right, scale=100.0))} if kinds else {},
    )


def score_nextqa(
    predictions: Sequence[int], answers: Sequence[int], clusters: Sequence[Hashable], types: Sequence[str]
) -> Scored:
    """Accuracy in percent, two places: of all, causal, temporal and descriptive; and by type.

    Raises:
        ValueError: a type is unknown.
    """
    types = [_MERGED.get(kind, kind) for kind in types]
    unknown = sorted(set(types) - set(_NEXTQA_TYPES))
    if unknown:
        raise ValueError(f"unknown NExT-QA types {unknown}; known: {', '.join([*_NEXTQA_TYPES, *_MERGED])}")
    right = [float(said == answer) for said, answer in zip(predictions, answers, strict=True)]
    families = {
        name: [hit if kind[0] == first else None for hit, kind in zip(right, types, strict=True)]
        for first, name in _FAMILIES.items()
    }
    statistic = means({"accuracy": right, **families}, scale=100.0)
    scores = {
        name: round(value, 2) for name, value in at_once(statistic, len(right)).items() if value == value
    }
    by_type = _rounded(groups([f"{kind} {_NEXTQA_TYPES[kind]}" for kind in types], right, scale=100.0))
    return Scored(scores, "percent", statistic, clusters, {"type": dict(sorted(by_type.items()))})


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in found.items()}
