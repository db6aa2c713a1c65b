"""POPE: answers and labels joined by id, whatever their order.

References: coco_pope_random.json, JSON lines {"question_id": 1, "image": "COCO_val2014_000000310196.jpg",
"text": "Is there a snowboard in the image?", "label": "yes"}; or a folder that holds coco_pope_CATEGORY.json
for several categories, which all count from 1.
Predictions: JSON lines {"question_id": 1, "text": "Yes."} (LLaVA) or "answer" for "text" (POPE); with a
folder of references a row also has "category", or questions=<file> tells picture, question and category of
each id, as LLaVA's llava_pope_test.jsonl does, whose ids are not those of the label files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.benchmarks.fields import take
from vl_dora.benchmarks.files import by_id, first_of, id_of, matched, rows_of
from vl_dora.metrics import pope
from vl_dora.metrics.statistic import Scored

_FILE = re.compile(r".*pope_(\w+)\.jsonl?")


@dataclass(frozen=True)
class POPE:
    """Accuracy, precision, recall, F1 and share of yes, 0 to 1, by category.

    Args:
        questions: file that tells picture, question and category of each predicted id; None: the ids are
            those of the label file.
    """

    questions: str | None = None

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores answers against labels; ValueError names what is wrong in the files."""
        answers = rows_of(predictions, "predictions")
        labels = _labels(Path(references).expanduser())
        several = len({row["category"] for row, _ in labels}) > 1
        name = _by_content if self.questions is not None else (_by_category if several else _by_number)
        wanted = by_id(labels, name, f"references={references}")
        if self.questions is not None:
            asked = by_id(rows_of(self.questions, "questions"), _by_number, f"questions={self.questions}")
            matched(asked, [_by_number(*row) for row in answers], files=(self.questions, predictions))
            answers = [
                ({**_with_question(asked[_by_number(row, where)]), "answer": _said(row, where)}, where)
                for row, where in answers
            ]
        said = by_id(answers, name, f"predictions={predictions}")
        rows = matched(said, wanted, files=(predictions, references))
        items = [
            pope.Item(
                row["category"], str(row.get("image", key)), take(row, "label", str, f"{references}, {key}")
            )
            for key, row in wanted.items()
        ]
        return pope.score([_said(row, str(predictions)) for row in rows], items)


def _said(row: Mapping[str, Any], where: str) -> str:
    said = first_of(row, ("answer", "text"), where)
    if not isinstance(said, str):
        raise ValueError(f"{where}: an answer must be a text, got {said!r}")
    return said


def _with_question(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "question": row.get("text", "")}


def _by_number(row: Mapping[str, Any], where: str) -> str:
    return id_of(row, ("question_id",), where)


def _by_category(row: Mapping[str, Any], where: str) -> str:
    if "category" not in row:
        raise ValueError(
            f"{where}: the references have several categories whose ids are the same, and this row names no "
            "'category'; add it, or give questions=<file> that tells the category of each id"
        )
    return f"{row['category']} {_by_number(row, where)}"


def _by_content(row: Mapping[str, Any], where: str) -> str:
    """Category, picture and question; LLaVA writes an instruction on a further line of the question."""
    question = take(row, "text", str, where) if "question" not in row else row["question"]
    category, image = take(row, "category", str, where), take(row, "image", str, where)
    return f"{category} {image}: {question.split(chr(10))[0]}"


def _labels(path: Path) -> list[tuple[dict[str, Any], str]]:
    """The rows of one label file, or of all in a folder, each with its category."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    named = [(found[1] if (found := _FILE.fullmatch(file.name)) else "all", file) for file in files]
    if path.is_dir():
        named = [(category, file) for category, file in named if category != "all"]
        if not named:
            raise FileNotFoundError(f"references={path} holds no file coco_pope_CATEGORY.json")
    rows = []
    for category, file in named:
        rows += [({"category": category, **row}, where) for row, where in rows_of(file, "references")]
    return rows
