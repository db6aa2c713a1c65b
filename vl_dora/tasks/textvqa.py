"""TextVQA: questions whose answer is written in the picture (Singh et al. 2019, arXiv:1904.08920).

A row: {"question_id": 34602, "asked_id": "003a8ae2ef43b901", "image_id": "003a8ae2ef43b901", "text": "what is
the brand?\\nReference OCR token: MIA, DAKOTA\\nAnswer the question using a single word or phrase.", "images":
(ImageRef("train_images/003a8ae2ef43b901.jpg"),), "answers": [ten texts]}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics.textvqa_accuracy import textvqa_accuracy
from vl_dora.tasks import server_files
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, pictures_of, write_llava_answers


@dataclass(frozen=True)
class TextVQA:
    """The prompt is the row's text; ten humans agree with the answer or not.

    Args:
        model_id: name of the model in LLaVA's file of answers; of a path its last part.
        name: short name in files and logs.
    """

    model_id: str = "vl_dora"
    name: str = "textvqa"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; the target is the commonest answer, empty where none is public."""
        answers = tuple(row.get("answers", ()))
        return Example(
            id=str(row["question_id"]),
            prompt=row["text"],
            target=Counter(answers).most_common(1)[0][0] if answers else "",
            images=tuple(row["images"]),
            answers=answers,
            groups=asked_id(row),
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """TextVQA accuracy in percent; questions about one picture are one cluster."""
        scorable(predictions)
        hits = {p.id: 100 * textvqa_accuracy(p.text, p.answers) for p in predictions}
        return ScoreReport(
            scores={"accuracy": sum(hits.values()) / len(hits)},
            per_sample=hits,
            clusters=pictures_of(predictions),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's `answers.jsonl`, and EvalAI's `textvqa_upload.json`, a list like VQA's."""
        answers = {p.id: p.text.strip() for p in predictions}
        return [
            write_llava_answers(directory, predictions, self.model_id),
            server_files.write_vqa(Path(directory) / "textvqa_upload.json", answers),
        ]
