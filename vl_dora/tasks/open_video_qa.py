"""Open questions about a clip, one right answer each: MSVD-QA, MSRVTT-QA (Xu et al. 2017), ActivityNet-QA

Rows: {"id": 0, "question": "what is chewing on a nut?", "answer": "animal", "video_id": 1, "frames":
ClipRef("videos/vid1.avi")} and {"question_id": "1QIUV7WYKXg_3", "question": "is the athlete wearing
trousers", "video_name": "1QIUV7WYKXg", "answer": "yes", "type": 3, "frames":
ClipRef("videos/v_1QIUV7WYKXg.mp4")} (Yu et al. 2019, arXiv:1906.02467).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import open_video_qa as metric
from vl_dora.metrics.statistic import Scored
from vl_dora.tasks import server_files
from vl_dora.tasks.checks import has_field, scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.subtitled_choice import first_word


@dataclass(frozen=True)
class OpenVideoQA:
    """MSVD-QA and MSRVTT-QA: the answer must be the right one letter by letter.

    The official networks choose among the 1,000 commonest training answers, and what lies outside them cannot
    be right; `vl_dora.score` counts so with `vocabulary=train_qa.json`.

    Args:
        name: short name in files and logs.
        prompt: `{question}` is filled from the row.
    """

    name: str
    prompt: str
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        has_field(self.prompt, "question")

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; without an answer in the row its target is empty."""
        return self._example(row, str(row["id"]), str(row["video_id"]), first_word(row["question"]))

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """Accuracy in percent by the official rule; the questions of one video are one cluster."""
        scorable(predictions)
        said, right = [p.text.strip() for p in predictions], [p.answers[0] for p in predictions]
        scored = self._scored(predictions, said, right, [p.example.groups["video"] for p in predictions])
        by_type = {kind: 100 * value for found in scored.by_type.values() for kind, value in found.items()}
        return ScoreReport(
            scores={name: 100 * value for name, value in scored.scores.items()},
            by_type={"question_type": by_type},
            per_sample={p.id: 100.0 * (a == b) for p, a, b in zip(predictions, said, right, strict=True)},
            clusters={p.id: p.example.groups["video"] for p in predictions},
            statistic=lambda weights: {name: 100 * v for name, v in scored.statistic(weights).items()},
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """`<name>_predictions.json`, one object {id: answer} for `vl_dora.score`; there is no server."""
        said = {p.id: p.text.strip() for p in predictions}
        return [server_files.write_answers(Path(directory) / f"{self.name}_predictions.json", said)]

    def _example(self, row: Mapping[str, Any], name: str, video: str, kind: str) -> Example:
        answer = row.get("answer", "")
        return Example(
            id=name,
            prompt=self.prompt.replace("{question}", row["question"]),
            target=answer,
            frames=row["frames"],
            answers=(answer,) if answer else (),
            groups={"question_type": kind, "video": video},
        )

    def _scored(
        self, predictions: Sequence[Prediction], said: list[str], right: list[str], videos: list[str]
    ) -> Scored:
        # The first word of the question is all that the metric reads of it.
        words = [p.example.groups["question_type"] for p in predictions]
        return metric.score_most_frequent(said, right, words, videos)


@dataclass(frozen=True)
class ActivityNetQA(OpenVideoQA):
    """ActivityNet-QA: as the others, but of nine types; `free` is the accuracy over types 3 to 8."""

    name: str = "activitynet_qa"
    prompt: str = "activitynet: {question}"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; without an answer in the row its target is empty."""
        kind = f"{row['type']} {metric.ACTIVITYNET_TYPES[row['type']]}" if "type" in row else "unknown"
        return self._example(row, row["question_id"], row["video_name"], kind)

    def _scored(
        self, predictions: Sequence[Prediction], said: list[str], right: list[str], videos: list[str]
    ) -> Scored:
        types = [int(p.example.groups["question_type"].split()[0]) for p in predictions]
        return metric.score_activitynet(said, right, types, videos)
