"""MMBench: multiple choice about pictures, by skill (Liu et al. 2023, arXiv:2307.06281).

A row: {"question_id": 241, "asked_id": 241, "text": "Read ...\\nWhich one?\\nA. ...\\nB. ...\\nAnswer with
the option's letter from the given choices directly.", "options": ["...", "..."], "answer": "A" or None,
"category": "identity_reasoning", "l2_category": "attribute_reasoning", "columns": {"index": "241", ...},
"images": (ImageRef("<cache>/mmbench_pictures/....jpg"),)}
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import mmbench as metric
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, pictures_of, write_llava_answers
from vl_dora.tasks.submission import write_whole, write_whole_bytes

FORMATS = ("csv", "xlsx")
# LLaVA's upload leaves these columns out, and puts `prediction` in the seventh place of what is left.
_LEFT_OUT = ("hint", "category", "source", "image", "comment", "l2-category")
_PLACE = 6


@dataclass(frozen=True)
class MMBench:
    """The prompt is the row's text, the target a letter.

    Args:
        submission_format: of the file to upload: csv, or xlsx, which the server takes and openpyxl writes.
        model_id: name of the model in LLaVA's file of answers; of a path its last part.
        name: short name in files and logs.

    Raises:
        ValueError: another format, or xlsx without openpyxl.
    """

    submission_format: str = "csv"
    model_id: str = "vl_dora"
    name: str = "mmbench"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        if self.submission_format not in FORMATS:
            raise ValueError(
                f"task.submission_format={self.submission_format!r} must be one of {', '.join(FORMATS)}"
            )
        # Found out before the first answer, not after the last.
        if self.submission_format == "xlsx" and find_spec("openpyxl") is None:
            raise ValueError(
                "task.submission_format=xlsx needs openpyxl, which is not installed: pip install "
                "'vl-dora[xlsx]', or set task.submission_format=csv"
            )

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one row; without a public answer its target is empty."""
        answer = row["answer"]
        return Example(
            id=str(row["question_id"]),
            prompt=row["text"],
            target=answer or "",
            images=tuple(row["images"]),
            answers=() if answer is None else (answer,),
            groups={
                "category": row["category"],
                "l2_category": row["l2_category"],
                "options": json.dumps(row["options"], ensure_ascii=False),
                "columns": json.dumps(_kept(row["columns"]), ensure_ascii=False),
                **asked_id(row),
            },
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """`accuracy` over questions, percent, by category; with options in several orders all must be right.

        Where there are such orders, `accuracy_a_row` is over the rows, each for itself. A question's sample
        value stands at the first of its rows. Questions about one picture are one cluster.
        """
        scorable(predictions)
        scored = metric.score([p.text for p in predictions], [_item(p) for p in predictions])
        asked = [predictions[place] for place in scored.first]
        clusters = pictures_of(predictions)
        return ScoreReport(
            scores=scored.scores,
            by_type=scored.by_type,
            per_sample=dict(zip((p.id for p in asked), scored.per_question, strict=True)),
            clusters={p.id: clusters[p.id] for p in asked},
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's `answers.jsonl`, and `mmbench_upload.csv` or `.xlsx`: the table with a column `prediction`.

        As in LLaVA's upload the prediction is the text as it was written.
        """
        directory = Path(directory)
        rows = [json.loads(p.example.groups["columns"]) for p in predictions]
        names = list(dict.fromkeys(name for row in rows for name in row))
        names.insert(min(_PLACE, len(names)), "prediction")
        table: list[list[str]] = [names]
        for prediction, row in zip(predictions, rows, strict=True):
            table.append([{**row, "prediction": prediction.text}.get(name, "") for name in names])
        path = directory / f"mmbench_upload.{self.submission_format}"
        if self.submission_format == "csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(table)
            write_whole(path, text.getvalue())
        else:
            write_whole_bytes(path, _workbook(table))
        return [write_llava_answers(directory, predictions, self.model_id), path]


def _kept(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in columns.items() if name not in _LEFT_OUT}


def _item(prediction: Prediction) -> metric.Item:
    given = prediction.example.groups
    return metric.Item(
        index=int(prediction.id),
        options=tuple(json.loads(given["options"])),
        answer=prediction.answers[0],
        groups={name: given[name] for name in ("category", "l2_category")},
    )


def _workbook(table: Sequence[Sequence[str]]) -> bytes:
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in table:
        # A workbook holds no control characters; the index is a number there, as pandas writes it.
        cells: list[str | int] = [ILLEGAL_CHARACTERS_RE.sub("", cell) for cell in row]
        sheet.append([int(c) if n == 0 and str(c).isdigit() else c for n, c in enumerate(cells)])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()
