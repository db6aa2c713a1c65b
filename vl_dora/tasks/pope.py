"""POPE: is a thing in the picture? Half the questions ask for what is not (Li et al. 2023, arXiv:2305.10355).

A row: {"question_id": 1, "asked_id": 1, "category": "adversarial", "text": "Is there a snowboard in the
image?\\nAnswer the question using a single word or phrase.", "label": "yes", "images":
(ImageRef("val2014/COCO_val2014_000000310196.jpg"),)}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import pope as metric
from vl_dora.metrics.statistic import Scaled
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, pictures_of, write_llava_answers


@dataclass(frozen=True)
class POPE:
    """The prompt is the row's text; a text is read as no or yes by the evaluators' rule.

    Args:
        model_id: name of the model in LLaVA's file of answers; of a path its last part.
        name: short name in files and logs.
    """

    model_id: str = "vl_dora"
    name: str = "pope"
    headline: str = "f1"
    loss_reduction: str = "sample"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question."""
        return Example(
            id=str(row["question_id"]),
            prompt=row["text"],
            target=row["label"],
            images=tuple(row["images"]),
            answers=(row["label"],),
            groups={"category": row["category"], **asked_id(row)},
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """F1, accuracy, precision, recall and the share of yes: means over the categories, percent.

        Each is also broken down by category. The sample values are right or wrong, whose mean is no F1:
        intervals come from the scores themselves. Questions about one picture are one cluster.
        """
        scorable(predictions)
        clusters = pictures_of(predictions)
        items = [metric.Item(p.example.groups["category"], clusters[p.id], p.answers[0]) for p in predictions]
        scored = metric.score([p.text for p in predictions], items)
        by_type = {
            "category" if name == self.headline else f"category_{name}": {
                k: 100 * v for k, v in found.items()
            }
            for name, found in scored.by_type.items()
        }
        return ScoreReport(
            scores={name: 100 * value for name, value in scored.scores.items()},
            by_type=by_type,
            per_sample={p.id: 100.0 * (metric.verdict(p.text) == p.answers[0]) for p in predictions},
            clusters=clusters,
            statistic=Scaled(scored.statistic, 100.0),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's `answers.jsonl`, which POPE is scored from; there is no server."""
        return [write_llava_answers(directory, predictions, self.model_id)]
