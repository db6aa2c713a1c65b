"""MMBench as a task: circular questions, and the table that is handed in."""

from __future__ import annotations

import csv

import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.tasks.mmbench import MMBench

COLUMNS = (
    "index",
    "question",
    "hint",
    "A",
    "B",
    "C",
    "D",
    "answer",
    "category",
    "source",
    "l2-category",
    "split",
)


def prediction(index, text, answer="A", category="colour"):
    cells = {
        "index": str(index),
        "question": "Which?",
        "A": "x",
        "B": "y",
        "answer": answer,
        "category": category,
    }
    row = {
        "question_id": index,
        "asked_id": index,
        "text": "Which?",
        "options": ["x", "y"],
        "answer": answer,
        "category": category,
        "l2_category": "seeing",
        "columns": {name: cells.get(name, "") for name in COLUMNS},
        "images": (ImageRef("/cache/p.png"),),
    }
    return Prediction(MMBench().example(row), text)


PREDICTIONS = [
    prediction(7, "A. x"),
    prediction(1_000_007, "A", answer="B"),
    prediction(8, "x", category="shape"),
]


def test_a_question_is_right_when_every_order_is():
    report = MMBench().score(PREDICTIONS)
    assert report.scores == pytest.approx({"accuracy": 50, "accuracy_a_row": 200 / 3})
    assert report.per_sample == {"7": 0, "8": 100}
    assert report.by_type == {"category": {"colour": 0, "shape": 100}, "l2_category": {"seeing": 50}}


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


HEAD = ["index", "question", "A", "B", "C", "D", "prediction", "answer", "split"]


def test_the_csv_leaves_out_what_llava_leaves_out_and_puts_the_text_in_the_seventh_place(tmp_path):
    _, path = MMBench().write_submission(PREDICTIONS, tmp_path)
    assert path.name == "mmbench_upload.csv"
    rows = rows_of(path)
    assert rows[0] == HEAD and rows[1] == ["7", "Which?", "x", "y", "", "", "A. x", "A", ""]
    assert len(rows) == 4


def test_the_workbook_holds_the_same(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    _, path = MMBench(submission_format="xlsx").write_submission(
        [*PREDICTIONS[:2], prediction(9, "a\x07b")], tmp_path
    )
    rows = [list(row) for row in openpyxl.load_workbook(path).active.iter_rows(values_only=True)]
    assert rows[0] == HEAD and rows[1][:4] == [7, "Which?", "x", "y"] and rows[1][6:8] == ["A. x", "A"]
    assert rows[3][6] == "ab"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.jsonl", "mmbench_upload.xlsx"]


def test_a_workbook_without_openpyxl_is_refused_before_any_answer(monkeypatch):
    monkeypatch.setattr("vl_dora.tasks.mmbench.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs openpyxl, .*pip install 'vl-dora\[xlsx\]', or set"):
        MMBench(submission_format="xlsx")
    with pytest.raises(ValueError, match="submission_format='doc' must be one of csv, xlsx"):
        MMBench(submission_format="doc")
