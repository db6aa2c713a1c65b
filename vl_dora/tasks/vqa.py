"""VQA: an open question about a picture, ten human answers (Goyal et al. 2017, arXiv:1612.00837)

A row: {"question_id": 458752000, "image_id": 458752, "question": "What is this photo taken looking through?",
"question_type": "what is this", "answer_type": "other", "answers": [{"answer": "net", "answer_id": 1}, ...],
"images": (ImageRef("train2014/COCO_train2014_000000458752.jpg"),)}; VL-Adapter's rows also have the soft
scores "label": {"net": 1.0, "bag": 0.3}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import vqa_accuracy
from vl_dora.metrics.statistic import means
from vl_dora.tasks import server_files
from vl_dora.tasks.checks import has_field, scorable
from vl_dora.tasks.interface import ScoreReport

_TYPES = ("question_type", "answer_type")


@dataclass(frozen=True)
class VQA:
    """The most common human answer is the target; training may draw among all by their soft score.

    Args:
        prompt: `{question}` is filled from the row; the text is the one of VL-T5.
        vl_t5_score: the headline is VL-T5's variant, whose faults the reference's figures have; the official
            one then stands beside it as `accuracy_official`.
        name: short name in files and logs.
    """

    prompt: str = "vqa: {question}"
    vl_t5_score: bool = False
    name: str = "vqa"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        has_field(self.prompt, "question")

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; without `answers` in the row its target is empty.

        `targets` are the row's `label` or, where it has none, the distinct answers with the score
        min(1, 0.3 * count), which is how VL-T5 made the labels (of its 3,129 commonest answers).
        """
        answers = tuple(answer["answer"] for answer in row.get("answers", ()))
        label = row.get("label") or {
            answer: min(1.0, 3 * count / 10) for answer, count in Counter(answers).most_common()
        }
        # Of equally good answers the first is the commonest.
        target = max(label, key=lambda answer: label[answer]) if label else ""
        return Example(
            id=str(row["question_id"]),
            prompt=self.prompt.replace("{question}", row["question"]),
            target=target,
            images=tuple(row["images"]),
            answers=answers,
            targets=tuple(label.items()),
            groups={name: row[name] for name in _TYPES if name in row},
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """VQA accuracy in percent: `accuracy` official, `accuracy_vl_t5` as VL-T5 and DoRA report it.

        Broken down by question type and answer type; samples of one picture are one cluster.
        """
        scorable(predictions)
        texts, humans = [p.text for p in predictions], [p.answers for p in predictions]
        types = [[p.example.groups.get(name, "unknown") for p in predictions] for name in _TYPES]
        official = vqa_accuracy.score(texts, humans, *types)
        variant = vqa_accuracy.score(texts, humans, *types, accuracy=vqa_accuracy.vl_t5_accuracy)
        leading, other = (variant, official) if self.vl_t5_score else (official, variant)
        mean = sum(leading.per_sample) / len(leading.per_sample)
        beside = "accuracy_official" if self.vl_t5_score else "accuracy_vl_t5"
        return ScoreReport(
            scores={"accuracy": mean, beside: other.overall},
            by_type={"question_type": leading.per_question_type, "answer_type": leading.per_answer_type},
            per_sample=dict(zip((p.id for p in predictions), leading.per_sample, strict=True)),
            clusters={p.id: p.example.images[0].path if p.example.images else p.id for p in predictions},
            statistic=means({"accuracy": leading.per_sample, beside: other.per_sample}),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """EvalAI's file `vqa_results.json`: a list of {"question_id": int, "answer": str}."""
        answers = {p.id: p.text.strip() for p in predictions}
        return [server_files.write_vqa(Path(directory) / "vqa_results.json", answers)]
