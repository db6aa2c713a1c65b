"""Beside a network's score: what training answers alone, the question alone, and people would score.

All are scored by the task itself, so their figures stand beside a network's on the same scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from vl_dora.batch import Example, Prediction
from vl_dora.tasks.interface import ScoreReport, Task


def majority(task: Task, train: Iterable[Example], test: Sequence[Example]) -> ScoreReport:
    """The score of answering every test question with the most common training target (of its task).

    Raises:
        ValueError: `train` is empty, or `test` cannot be scored.
    """
    return _score(task, test, [_common_targets(train, _task)])


def question_only(task: Task, train: Iterable[Example], test: Sequence[Example]) -> ScoreReport:
    """The score of answering by the question's text: the best that memory without sight can do.

    A test question gets the most common training target of its exact prompt; where the prompt is new, that of
    its group `question_type`; where there is none, that of all training (of its task).

    Raises:
        ValueError: `train` is empty, or `test` cannot be scored.
    """
    train = list(train)
    keys = (
        lambda e: (_task(e), e.prompt),
        lambda e: (_task(e), e.groups.get("question_type")),
        _task,
    )
    return _score(task, test, [_common_targets(train, key) for key in keys])


def human_agreement(task: Task, train: Iterable[Example], test: Sequence[Example]) -> ScoreReport | None:
    """The score of one person's text against those of the others; None where not all of `test` has several.

    Every person answers in turn, the first of each sample, then the second, and so on up to the number that
    all samples have; the scores are means over these rounds. The one who answers is no reference, so there
    is one reference less than a network is scored against, and scores that take the best of all references
    (BLEU, ROUGE-L, VQA accuracy) come out the lower for it.
    """
    rounds = min((len(example.answers) for example in test), default=0)
    if rounds < 2:
        return None
    reports = [
        task.score([_one_against_the_others(example, place) for example in test]) for place in range(rounds)
    ]
    breakdowns = reports[0].by_type
    return ScoreReport(
        scores=_means([report.scores for report in reports]),
        by_type={name: _means([report.by_type[name] for report in reports]) for name in breakdowns},
    )


def _one_against_the_others(example: Example, place: int) -> Prediction:
    others = example.answers[:place] + example.answers[place + 1 :]
    return Prediction(replace(example, answers=others), example.answers[place])


def _means(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure over the rounds that have it."""
    found: dict[str, list[float]] = {}
    for figures in rounds:
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def _task(example: Example) -> str | None:
    """The task that an example of a mixture belongs to."""
    return example.groups.get("task")


_Answerer = Callable[[Example], "str | None"]


def _common_targets(train: Iterable[Example], key: Callable[[Example], Hashable]) -> _Answerer:
    """A function from an example to the most common target of its key, None for an unseen key."""
    counts: dict[Hashable, Counter[str]] = {}
    for example in train:
        counts.setdefault(key(example), Counter())[example.target] += 1
    if not counts:
        raise ValueError("a baseline needs training examples to count answers in; got none")
    # Ties go to the text that sorts first, so that a figure does not depend on the order of rows.
    best = {k: min(c, key=lambda text: (-c[text], text)) for k, c in counts.items()}
    return lambda example: best.get(key(example))


def _score(task: Task, test: Sequence[Example], answerers: Sequence[_Answerer]) -> ScoreReport:
    answers = (next(a for answer in answerers if (a := answer(example)) is not None) for example in test)
    return task.score([Prediction(example, text) for example, text in zip(test, answers, strict=True)])
