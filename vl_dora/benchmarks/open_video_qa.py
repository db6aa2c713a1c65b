"""Open video questions: ActivityNet-QA, MSVD-QA and MSRVTT-QA in their own files.

Predictions: {"v_abc_0": "yes", ...}, or [{"question_id": "v_abc_0", "answer": "yes"}, ...] ("id" for MSVD-QA
and MSRVTT-QA)
References
    ActivityNet-QA      test_a.json, [{"question_id": "v_abc_0", "answer": "yes", "type": 3}, ...]
    MSVD-QA, MSRVTT-QA  test_qa.json, [{"id": 0, "question": "what ...?", "answer": "fry", "video_id": 1}]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vl_dora.benchmarks.fields import take
from vl_dora.benchmarks.files import answers_of, as_text, by_id, id_of, matched, rows_of
from vl_dora.metrics import open_video_qa
from vl_dora.metrics.statistic import Scored

_IDS = ("question_id", "id")
_ANSWERS = ("answer", "prediction")


@dataclass(frozen=True)
class ActivityNetQA:
    """Accuracy of ActivityNet-QA, 0 to 1, by type of question."""

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores answers against the annotations; ValueError names what is wrong in the files."""
        rows = by_id(
            rows_of(references, "references"), lambda row, w: id_of(row, _IDS, w), f"references={references}"
        )
        said = matched(answers_of(predictions, _IDS, _ANSWERS), rows, files=(predictions, references))
        return open_video_qa.score_activitynet(
            [as_text(text, name) for name, text in zip(rows, said, strict=True)],
            [take(row, "answer", str, f"{references}, {name}") for name, row in rows.items()],
            [_kind(row, f"{references}, {name}") for name, row in rows.items()],
            # A question is named after its video: v_abc_0.
            [name.rpartition("_")[0] or name for name in rows],
        )


def _kind(row: dict[str, object], where: str) -> int:
    kind = row.get("type")
    if not str(kind).isdigit():
        raise ValueError(f"{where}: 'type' must be a whole number, got {kind!r}")
    return int(str(kind))


@dataclass(frozen=True)
class MostFrequentQA:
    """Accuracy of MSVD-QA or MSRVTT-QA, 0 to 1, by the first word of the question.

    Args:
        vocabulary: train_qa.json, of which the most frequent answers can be given; None: any answer can.
        size: how many of them.
    """

    vocabulary: str | None = None
    size: int = 1000

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores answers against the annotations; ValueError names what is wrong in the files."""
        rows = by_id(
            rows_of(references, "references"), lambda row, w: id_of(row, _IDS, w), f"references={references}"
        )
        said = matched(answers_of(predictions, _IDS, _ANSWERS), rows, files=(predictions, references))
        known = None
        if self.vocabulary is not None:
            train = rows_of(self.vocabulary, "vocabulary")
            known = open_video_qa.frequent_answers(
                (take(row, "answer", str, where) for row, where in train), self.size
            )
        return open_video_qa.score_most_frequent(
            [as_text(text, name) for name, text in zip(rows, said, strict=True)],
            [take(row, "answer", str, f"{references}, {name}") for name, row in rows.items()],
            [take(row, "question", str, f"{references}, {name}") for name, row in rows.items()],
            [str(row.get("video_id", row.get("video", name))) for name, row in rows.items()],
            known,
        )
