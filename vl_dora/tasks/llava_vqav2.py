"""VQAv2 as LLaVA is scored on it (Liu et al. 2023, arXiv:2310.03744).

A row: {"question_id": 262144000, "asked_id": 262144000, "text": "Is the ball ...?\\nAnswer the question using
a single word or phrase.", "images": (ImageRef("test2015/COCO_test2015_000000262144.jpg"),), "listed_in":
".../llava_vqav2_mscoco_test2015.jsonl"}, and where public "answers", "question_type" and "answer_type".
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import vqa_accuracy
from vl_dora.metrics.textvqa_accuracy import normalise
from vl_dora.tasks import server_files
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, pictures_of, write_llava_answers

log = logging.getLogger(__name__)

_TYPES = ("question_type", "answer_type")


@dataclass(frozen=True)
class LlavaVQAv2:
    """The prompt is the row's text; what is scored is what is submitted: the answer in EvalAI's spelling.

    Args:
        model_id: name of the model in LLaVA's file of answers; of a path its last part.
        name: short name in files and logs.
    """

    model_id: str = "vl_dora"
    name: str = "llava_vqav2"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; the target is the commonest answer, empty where none is public."""
        answers = tuple(answer["answer"] for answer in row.get("answers", ()))
        kinds = {name: row[name] for name in _TYPES if name in row}
        return Example(
            id=str(row["question_id"]),
            prompt=row["text"],
            target=Counter(answers).most_common(1)[0][0] if answers else "",
            images=tuple(row["images"]),
            answers=answers,
            groups={**kinds, **asked_id(row), "listed_in": row["listed_in"]},
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """VQA accuracy in percent, by question type and answer type; a picture is a cluster."""
        scorable(predictions)
        scored = vqa_accuracy.score(
            [normalise(p.text) for p in predictions],
            [p.answers for p in predictions],
            *([p.example.groups.get(name, "unknown") for p in predictions] for name in _TYPES),
        )
        return ScoreReport(
            scores={"accuracy": sum(scored.per_sample) / len(scored.per_sample)},
            by_type={"question_type": scored.per_question_type, "answer_type": scored.per_answer_type},
            per_sample=dict(zip((p.id for p in predictions), scored.per_sample, strict=True)),
            clusters=pictures_of(predictions),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's `answers.jsonl`, and EvalAI's `vqav2_upload.json`, which has every question it asks for.

        A question that was not answered has the answer "" there; their number is logged.

        Raises:
            ValueError: the file that lists the questions cannot be read any more.
        """
        directory = Path(directory)
        said = {p.id: normalise(p.text) for p in predictions}
        wanted = list(said)
        for path in dict.fromkeys(p.example.groups["listed_in"] for p in predictions):
            wanted += [name for name in _listed(Path(path)) if name not in said]
        empty = len(wanted) - len(said)
        if empty:
            log.warning("%d of %d questions have no answer; EvalAI's file says '' there", empty, len(wanted))
        return [
            write_llava_answers(directory, predictions, self.model_id),
            server_files.write_vqa(directory / "vqav2_upload.json", {n: said.get(n, "") for n in wanted}),
        ]


def _listed(path: Path) -> list[str]:
    """Ids of the questions of a file, LLaVA's lines or the official object."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = json.loads(text)["questions"]
        return [str(row["question_id"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} lists the questions that EvalAI wants and cannot be read: {error}"
        ) from None
