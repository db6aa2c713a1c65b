"""ST-VQA and DocVQA in the layout of their server: average normalised Levenshtein similarity.

Predictions: [{"question_id": 1, "answer": "dakota"}, ...] (DocVQA writes questionId)
References: {"data": [{"question_id": 1, "file_path": "coco-text/a.jpg", "answers": ["dakota"]}, ...]}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vl_dora.benchmarks.fields import take
from vl_dora.benchmarks.files import answers_of, as_text, by_id, id_of, matched, rows_of
from vl_dora.metrics.statistic import Scored, at_once, means
from vl_dora.metrics.textvqa_accuracy import anls, stvqa_accuracy

_IDS = ("question_id", "questionId")
_PICTURES = ("image_id", "file_path", "image", "ucsf_document_id")


@dataclass(frozen=True)
class ANLS:
    """ANLS and the accuracy of ST-VQA, 0 to 1."""

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores answers against the annotations; ValueError names what is wrong in them."""
        said = answers_of(predictions, _IDS, ("answer",))
        rows = by_id(
            rows_of(references, "references"),
            lambda row, where: id_of(row, _IDS, where),
            f"references={references}",
        )
        texts = matched(said, rows, files=(predictions, references))
        pairs = [
            (as_text(text, name), take(row, "answers", list, f"{references}, question {name}"))
            for text, (name, row) in zip(texts, rows.items(), strict=True)
        ]
        statistic = means(
            {"anls": [anls(*pair) for pair in pairs], "accuracy": [stvqa_accuracy(*pair) for pair in pairs]}
        )
        return Scored(
            scores=at_once(statistic, len(pairs)),
            scale="0 to 1",
            statistic=statistic,
            clusters=[next((str(row[k]) for k in _PICTURES if k in row), name) for name, row in rows.items()],
        )
