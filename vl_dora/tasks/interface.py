"""What a task is: prompt, target and score side by side, in one object.

The same object is given to the data module (which asks it for examples) and to the Lightning
module (which asks it for scores), so training and evaluation cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vl_dora.batch import Example, Prediction
from vl_dora.metrics.statistic import WeightedScores, means


@dataclass(frozen=True)
class ScoreReport:
    """Scores of one set of predictions.

    Args:
        scores: name -> value, percent (0-100); the first is the headline.
        by_type: breakdown name -> group -> headline score in percent, for instance
            {"question_type": {"how many": 61.2}}.
        per_sample: id -> headline contribution in percent; unless `statistic` says otherwise, their mean is
            the headline score. A sample that does not count (an unbalanced question of GQA) is absent.
        clusters: id -> cluster to resample together in a bootstrap; empty: every id its own.
        statistic: the scores, or some of them with the headline, under weights of the samples of
            `per_sample`, in their order; what intervals are worked out from. None: the mean of `per_sample`.
    """

    scores: dict[str, float]
    by_type: dict[str, dict[str, float]] = field(default_factory=dict)
    per_sample: dict[str, float] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    statistic: WeightedScores | None = None

    def weighted(self) -> WeightedScores:
        """Scores under weights of the samples of `per_sample`, in their order; at least the headline."""
        headline = next(iter(self.scores))
        return self.statistic or means({headline: list(self.per_sample.values())})


@runtime_checkable
class Task(Protocol):
    """One prompt, one target, one score.

    Attributes:
        name: short name, used in file names and logs.
        headline: the key of `ScoreReport.scores` by which runs are compared.
        loss_reduction: "sample" (mean over a sample's tokens, then over samples) or "token".
    """

    name: str
    headline: str
    loss_reduction: str

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one official row; KeyError or ValueError when the row is unfit."""
        ...

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """The official scores of these predictions."""
        ...

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """Writes the benchmark's own submission file(s); returns their paths."""
        ...


@runtime_checkable
class TaskMixture(Protocol):
    """Several tasks by name, itself scored as one task.

    Attributes:
        tasks: name -> task.
    """

    @property
    def tasks(self) -> Mapping[str, Task]: ...

    def member(self, name: str) -> Task:
        """The task of this name, whose samples are marked as its own: id `name/id`, group `task`."""
        ...
