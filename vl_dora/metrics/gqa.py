"""GQA: accuracy, consistency, validity, plausibility and distribution.

Paper: Hudson & Manning 2019, arXiv:1902.09506. Source of the behaviour: the official `eval.py`. A prediction
is right if it is the very string of the answer; averages are over balanced questions. Consistency: for each
balanced question that is answered right and entails others, the share of those that are right, balanced or
not; then the mean. Distribution: chi-square between predicted and right answers within each global group,
weighted by the group's size, over 100; lower is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vl_dora.metrics.statistic import Numbers, Scored, Sums, Together, at_once, groups, means, ratio

# Properties that "common" questions ask for; the choices file lists none of them.
_COMMON = ("color", "material", "shape")
_NO_STEPS = ("exist", "query: name", "choose name")


@dataclass(frozen=True)
class Question:
    """What the scores need to know of a question.

    Args:
        answer: the right answer.
        image: id of the picture.
        balanced: whether it counts in the averages.
        structural, semantic, detailed: its types; structural "query" is an open question, others are binary.
        group: global group of the answer, if it has one.
        entailed: ids of the questions whose answers follow from its own, without itself.
        num_steps: reasoning steps.
        num_words: words of the text.
    """

    answer: str
    image: str
    balanced: bool
    structural: str
    semantic: str
    detailed: str
    group: str | None
    entailed: tuple[str, ...]
    num_steps: int
    num_words: int


@dataclass(frozen=True)
class Choices:
    """The answers that are in the question's scope, and those that make sense in the world."""

    valid: frozenset[str]
    plausible: frozenset[str]


def num_steps(operations: Sequence[tuple[str, str]]) -> int:
    """Steps of a question's program of (operation, argument), without those that only phrase the answer."""
    written = [f"{operation}: {argument}" for operation, argument in operations]
    return sum(not any(word in step for word in _NO_STEPS) for step in written)


def score(
    predictions: Mapping[str, str],
    questions: Mapping[str, Question],
    choices: Mapping[str, Choices] | None = None,
) -> Scored:
    """All scores, percent but for `distribution`; validity and plausibility only with `choices`.

    Consistency is left out, with a note, where entailed questions are not among `questions`, as in the files
    of balanced questions only.

    Args:
        predictions: question id -> answer, one for every question.
        questions: question id -> question.
        choices: question id -> its choices.

    Raises:
        ValueError: no question is balanced.
    """
    balanced = {name: q for name, q in questions.items() if q.balanced}
    if not balanced:
        raise ValueError(
            "GQA scores are means over balanced questions, and none of the questions is balanced"
        )
    hits = {name: float(predictions[name] == q.answer) for name, q in questions.items()}
    right = [hits[name] for name in balanced]
    kinds = ["open" if q.structural == "query" else "binary" for q in balanced.values()]
    notes: list[str] = []
    values: dict[str, Sequence[float | None]] = {"accuracy": right}
    for kind in ("binary", "open"):
        values[kind] = [hit if mine == kind else None for hit, mine in zip(right, kinds, strict=True)]
    absent = sum(other not in questions for q in balanced.values() for other in q.entailed)
    if absent:
        notes.append(
            f"consistency is left out: {absent} entailed questions are not in the references, which hold "
            "balanced questions only; give the file of all questions and predictions for all of them"
        )
    else:
        values["consistency"] = [_consistent(name, q, hits) for name, q in balanced.items()]
    if choices is not None:
        values["validity"] = [_allowed(predictions[n], q, choices[n].valid) for n, q in balanced.items()]
        values["plausibility"] = [
            _allowed(predictions[n], q, choices[n].plausible) for n, q in balanced.items()
        ]
    else:
        notes.append("validity and plausibility need choices=<file>")
    grouped = [(q.group, q.answer, predictions[name]) for name, q in balanced.items()]
    parts: list[Sums] = [means(values, scale=100.0)]
    if any(group is not None for group, _, _ in grouped):
        parts.append(_distribution(grouped))
    statistic = Together(tuple(parts))
    breakdowns = {
        "structural_type": [q.structural for q in balanced.values()],
        "semantic_type": [q.semantic for q in balanced.values()],
        "steps": [str(q.num_steps) for q in balanced.values()],
        "words": [str(q.num_words) for q in balanced.values()],
    }
    return Scored(
        scores=at_once(statistic, len(balanced)),
        scale="percent; distribution is a chi-square, lower is better",
        statistic=statistic,
        clusters=[q.image for q in balanced.values()],
        by_type={name: _sorted(groups(kinds, right, scale=100.0)) for name, kinds in breakdowns.items()},
        notes=tuple(notes),
    )


def _consistent(name: str, question: Question, hits: Mapping[str, float]) -> float | None:
    if not hits[name] or not question.entailed:
        return None
    return sum(hits[other] for other in question.entailed) / len(question.entailed)


def _allowed(prediction: str, question: Question, choices: frozenset[str]) -> float:
    return float(prediction in (_COMMON if "Common" in question.detailed else choices))


def _sorted(found: Mapping[str, float]) -> dict[str, float]:
    return {
        kind: found[kind]
        for kind in sorted(found, key=lambda kind: kind.zfill(9) if kind.isdigit() else kind)
    }


def _distribution(rows: Sequence[tuple[str | None, str, str]]) -> Sums:
    """Chi-square over (group, right answer, predicted answer) rows, as a statistic.

    Only answers that are right somewhere in the group are compared, so the columns are one for each such
    (group, answer): how often it is right, then how often it is predicted.
    """
    cells: dict[tuple[str, str], int] = {}
    for group, answer, _ in rows:
        if group is not None:
            cells.setdefault((group, answer), len(cells))
    columns = np.zeros((len(rows), 2 * len(cells)), dtype=np.float64)
    for row, (group, answer, prediction) in enumerate(rows):
        if group is not None:
            columns[row, cells[group, answer]] += 1
            predicted = cells.get((group, prediction))
            if predicted is not None:
                columns[row, len(cells) + predicted] += 1
    names = sorted({group for group, _ in cells})
    group_of = np.array([names.index(group) for group, _ in cells])
    member = (group_of[:, None] == np.arange(len(names))).astype(np.float64)

    def formula(sums: Numbers) -> dict[str, Numbers]:
        expected, observed = sums[:, : len(cells)], sums[:, len(cells) :]
        squares = np.where(
            expected > 0, (observed - expected) ** 2 / np.where(expected > 0, expected, 1.0), 0.0
        )
        sizes = expected @ member
        return {"distribution": ratio((squares @ member * sizes).sum(axis=1), sizes.sum(axis=1)) / 100}

    return Sums(columns, formula)
