"""VizWiz: what blind people ask of their pictures, often unanswerable (Gurari et al. 2018, arXiv:1802.08218).

A row: {"question_id": 0, "asked_id": 0, "image": "VizWiz_val_00000000.jpg", "text": "What is this?\\nWhen the
provided information is insufficient, respond with 'Unanswerable'.\\nAnswer the question using a single word
or phrase.", "images": (ImageRef("val/VizWiz_val_00000000.jpg"),)}, and where public "answers", "answer_type"
and "answerable" (0 or 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import vqa_accuracy
from vl_dora.metrics.statistic import groups, means
from vl_dora.metrics.textvqa_accuracy import normalise
from vl_dora.tasks import server_files
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, pictures_of, write_llava_answers

UNANSWERABLE = "unanswerable"


@dataclass(frozen=True)
class VizWiz:
    """The prompt is the row's text; VQA accuracy of the answer as it is submitted, in EvalAI's spelling.

    Args:
        model_id: name of the model in LLaVA's file of answers; of a path its last part.
        name: short name in files and logs.
    """

    model_id: str = "vl_dora"
    name: str = "vizwiz"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; the target is the commonest answer, empty where none is public."""
        answers = tuple(answer["answer"] for answer in row.get("answers", ()))
        facts = {"answer_type": row["answer_type"]} if "answer_type" in row else {}
        if "answerable" in row:
            facts["answerable"] = "yes" if row["answerable"] else "no"
        return Example(
            id=str(row["question_id"]),
            prompt=row["text"],
            target=Counter(answers).most_common(1)[0][0] if answers else "",
            images=tuple(row["images"]),
            answers=answers,
            groups={**facts, **asked_id(row), "image": row["image"]},
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """VQA accuracy, and how often `unanswerable` is said and is the truth, in percent.

        Broken down by answer type and by whether the question can be answered.
        """
        scorable(predictions)
        texts = [normalise(p.text) for p in predictions]
        accuracy = vqa_accuracy.score(texts, [p.answers for p in predictions]).per_sample
        kinds = [p.example.groups for p in predictions]
        values = {
            "accuracy": accuracy,
            "says_unanswerable": [100.0 * (text == UNANSWERABLE) for text in texts],
            "is_unanswerable": [
                100.0 * (k["answerable"] == "no") if "answerable" in k else None for k in kinds
            ],
        }
        known = {name: [v for v in row if v is not None] for name, row in values.items()}
        return ScoreReport(
            scores={name: sum(row) / len(row) for name, row in known.items() if row},
            by_type={
                name: groups([k.get(name, "unknown") for k in kinds], accuracy)
                for name in ("answer_type", "answerable")
            },
            per_sample=dict(zip((p.id for p in predictions), accuracy, strict=True)),
            clusters=pictures_of(predictions),
            statistic=means({name: row for name, row in values.items() if known[name]}),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's `answers.jsonl`, and EvalAI's `vizwiz_upload.json`, a list of {"image", "answer"}."""
        answers = {p.example.groups["image"]: normalise(p.text) for p in predictions}
        return [
            write_llava_answers(directory, predictions, self.model_id),
            server_files.write_vizwiz(Path(directory) / "vizwiz_upload.json", answers),
        ]
