"""Multiple-choice video questions: TVQA and How2QA as VALUE asks for them, and NExT-QA.

TVQA, How2QA
    predictions  {"122039": 2, ...}, or rows {"qid": 122039, "answer_idx": 2}
    references   a line {"qid": 122039, "answer_idx": 2, "vid_name": "...", "show_name": "Friends", ...}
NExT-QA
    predictions  {"4010069381_6": {"prediction": 3, "answer": 3}, ...} or {"4010069381_6": 3, ...}
    references   val.csv with the columns video, question, answer, qid, type, a0 to a4
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.benchmarks.fields import take, text_of
from vl_dora.benchmarks.files import answers_of, as_index, by_id, id_of, matched, rows_of, values_of
from vl_dora.metrics import multiple_choice
from vl_dora.metrics.statistic import Scored

_COLUMNS = ("video", "qid", "answer", "type")


@dataclass(frozen=True)
class ValueChoice:
    """Accuracy of TVQA or How2QA, percent, two places; by show where the references name shows."""

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores indices against the annotations; ValueError names what is wrong in the files."""
        rows = by_id(
            rows_of(references, "references"),
            lambda row, where: id_of(row, ("qid",), where),
            f"references={references}",
        )
        answers = answers_of(predictions, ("qid",), ("answer_idx", "prediction", "answer"))
        said = matched(answers, rows, files=(predictions, references))
        shows = [str(row["show_name"]) for row in rows.values() if "show_name" in row]
        return multiple_choice.score(
            [as_index(value, name) for name, value in zip(rows, said, strict=True)],
            [take(row, "answer_idx", int, f"{references}, {name}") for name, row in rows.items()],
            [str(row.get("vid_name", name)) for name, row in rows.items()],
            shows if len(shows) == len(rows) else (),
        )


@dataclass(frozen=True)
class NExTQA:
    """Accuracy of NExT-QA's multiple choice, percent, two places, by type of question."""

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores indices against the annotations; ValueError names what is wrong in the files."""
        rows = by_id(
            _csv_rows(references), lambda row, _: f"{row['video']}_{row['qid']}", f"references={references}"
        )
        said = matched(values_of(predictions, "predictions"), rows, files=(predictions, references))
        return multiple_choice.score_nextqa(
            [_index(value, name) for name, value in zip(rows, said, strict=True)],
            [int(row["answer"]) for row in rows.values()],
            [row["video"] for row in rows.values()],
            [row["type"] for row in rows.values()],
        )


def _index(value: Any, name: str) -> int:
    return as_index(value.get("prediction") if isinstance(value, dict) else value, name)


def _csv_rows(path: Path) -> list[tuple[dict[str, str], str]]:
    reader = csv.DictReader(text_of(path, "references").splitlines())
    absent = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if absent:
        raise ValueError(f"references={path} lacks the columns {absent}; it has {reader.fieldnames}")
    rows = [(row, f"{path}, row {number}") for number, row in enumerate(reader, start=2)]
    for row, where in rows:
        if not (row["answer"] or "").isdigit():
            raise ValueError(f"{where}: 'answer' must be the number of a choice, got {row['answer']!r}")
    return rows
