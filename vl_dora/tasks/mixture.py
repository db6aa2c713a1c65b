"""Several tasks learned by one network: each keeps its own prompt, target and score.

The samples of task `vqa` get the id `vqa/<id>` and the group `task: vqa`, so that predictions of all tasks
can lie in one list; each is scored by its own task under its own id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics.statistic import Averaged
from vl_dora.tasks.interface import ScoreReport, Task

GROUP = "task"


@dataclass(frozen=True)
class Member:
    """One task of a mixture: the task itself, its samples marked as its own.

    Args:
        task: makes the examples.
        name: of the task in the mixture.
    """

    task: Task
    name: str

    @property
    def headline(self) -> str:
        return self.task.headline

    @property
    def loss_reduction(self) -> str:
        return self.task.loss_reduction

    def example(self, row: Mapping[str, Any]) -> Example:
        """The task's example with a marked id and the group `task`."""
        example = self.task.example(row)
        return replace(example, id=f"{self.name}/{example.id}", groups={**example.groups, GROUP: self.name})

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """The task's own scores; ids in the report are the marked ones."""
        report = self.task.score([self._unmarked(p) for p in predictions])
        return replace(
            report,
            per_sample={f"{self.name}/{key}": value for key, value in report.per_sample.items()},
            clusters={f"{self.name}/{key}": f"{self.name}/{c}" for key, c in report.clusters.items()},
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """The task's own files in a folder of its name."""
        return self.task.write_submission([self._unmarked(p) for p in predictions], directory / self.name)

    def _unmarked(self, prediction: Prediction) -> Prediction:
        example = prediction.example
        groups = {key: value for key, value in example.groups.items() if key != GROUP}
        own = replace(example, id=example.id.removeprefix(f"{self.name}/"), groups=groups)
        return replace(prediction, example=own)


@dataclass(frozen=True)
class Mixture:
    """Tasks by name; the headline is the mean of their headlines, as VL-Adapter's tables report it.

    Args:
        tasks: name -> task.
        name: short name in files and logs.

    Raises:
        ValueError: no tasks, or a name with a slash.
    """

    tasks: Mapping[str, Task]
    name: str = "mixture"
    headline: str = "average"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        wrong = [name for name in self.tasks if "/" in name or not name]
        if not self.tasks or wrong:
            raise ValueError(f"task.tasks={list(self.tasks)} must be one or more names without a slash")

    def member(self, name: str) -> Member:
        """The task of this name, which marks its samples."""
        return Member(self.tasks[name], name)

    def example(self, row: Mapping[str, Any]) -> Example:
        """Not of a mixture: a row belongs to one task, whose `member` makes the example."""
        raise ValueError(
            f"a row belongs to one of the tasks {', '.join(self.tasks)}, not to the mixture; "
            "data needs parts (data=vl_bart_image)"
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """`average`, the mean of the headlines of the tasks that have answers, then `<task>/<score>`.

        Raises:
            ValueError: there is no prediction with answers, or one of no task of the mixture.
        """
        reports = {}
        for name, own in self._by_task(predictions).items():
            if any(p.answers for p in own):
                reports[name] = self.member(name).score(own)
        if not reports:
            raise ValueError("none of the predictions has answers to score against (data.split)")
        headlines = {name: r.scores[self.tasks[name].headline] for name, r in reports.items()}
        scores = {"average": sum(headlines.values()) / len(headlines)}
        return ScoreReport(
            scores=scores | {f"{n}/{k}": v for n, r in reports.items() for k, v in r.scores.items()},
            by_type={"task": headlines}
            | {f"{n}/{k}": groups for n, r in reports.items() for k, groups in r.by_type.items()},
            per_sample={k: v for r in reports.values() for k, v in r.per_sample.items()},
            clusters={k: r.clusters.get(k, k) for r in reports.values() for k in r.per_sample},
            statistic=Averaged(
                {
                    name: (report.weighted(), self.tasks[name].headline, len(report.per_sample))
                    for name, report in reports.items()
                }
            ),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """Every task's own files, each task in a folder of its name."""
        return [
            path
            for name, own in self._by_task(predictions).items()
            for path in self.member(name).write_submission(own, Path(directory))
        ]

    def _by_task(self, predictions: Sequence[Prediction]) -> dict[str, list[Prediction]]:
        found: dict[str, list[Prediction]] = {}
        for prediction in predictions:
            name = prediction.example.groups.get(GROUP, "")
            if name not in self.tasks:
                raise ValueError(
                    f"the prediction {prediction.id!r} is of none of the tasks {', '.join(self.tasks)}"
                )
            found.setdefault(name, []).append(prediction)
        return found
