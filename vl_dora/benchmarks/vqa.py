"""VQAv2 and VizWiz: results and annotations as their evaluators read them.

VQAv2
    predictions  [{"question_id": 1, "answer": "red"}, ...]
    references   v2_mscoco_val2014_annotations.json, {"annotations": [{"question_id": 1, "image_id": 2,
                 "question_type": "what color", "answer_type": "other", "answers": [{"answer": "red",
                 "answer_id": 1}, ...]}]}
VizWiz
    predictions  [{"image": "VizWiz_val_00000000.jpg", "answer": "red"}, ...]
    references   val.json, [{"image": "VizWiz_val_00000000.jpg", "answer_type": "other", "answers": [...]}]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vl_dora.benchmarks.fields import as_object, take
from vl_dora.benchmarks.files import answers_of, as_text, by_id, id_of, matched, rows_of
from vl_dora.metrics import vqa_accuracy
from vl_dora.metrics.statistic import Scored, means

_IDS = ("question_id", "image")
_TYPES = ("question_type", "answer_type")


@dataclass(frozen=True)
class VQA:
    """VQA accuracy, percent, two places.

    Args:
        accuracy: `vl_dora.metrics.vqa_accuracy.official_accuracy` or `vl_t5_accuracy`.
    """

    accuracy: Callable[[str, Sequence[str]], float] = vqa_accuracy.official_accuracy

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores a results file against an annotations file; ValueError names what is wrong in them."""
        said = answers_of(predictions, _IDS, ("answer",))
        rows = by_id(
            rows_of(references, "references"),
            lambda row, where: id_of(row, _IDS, where),
            f"references={references}",
        )
        texts = [
            as_text(value, name)
            for name, value in zip(rows, matched(said, rows, files=(predictions, references)), strict=True)
        ]
        humans = []
        for name, row in rows.items():
            where = f"{references}, question {name}"
            answers = take(row, "answers", list, where)
            humans.append([take(as_object(one, where), "answer", str, where) for one in answers])
        kinds = [[str(row.get(kind, "unknown")) for row in rows.values()] for kind in _TYPES]
        scored = vqa_accuracy.score(texts, humans, *kinds, accuracy=self.accuracy)
        return Scored(
            scores={"accuracy": scored.overall},
            scale="percent",
            statistic=means({"accuracy": scored.per_sample}),
            clusters=[row.get("image_id", name) for name, row in rows.items()],
            by_type={
                "answer_type": dict(sorted(scored.per_answer_type.items())),
                "question_type": dict(sorted(scored.per_question_type.items())),
            },
        )
