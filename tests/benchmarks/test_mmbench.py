"""MMBench: a table with answers, and three kinds of files of predictions."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from vl_dora.benchmarks.mmbench import MMBench
from vl_dora.metrics.resampling import intervals
from vl_dora.metrics.statistic import at_once

HEAD = "index question hint A B C D answer category image source l2-category comment split".split()
PICTURE = "aGVsbG8h" * 30_000  # longer than csv's own limit for a cell


def table(rows, head=HEAD) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(
        [head, *([row.get(name, "") for name in head] for row in rows)]
    )
    return text.getvalue()


def row(index, answer, image=PICTURE, *, category="colour", options=("red", "blue", "green")):
    letters = dict(zip("ABCD", (*options, "nan"), strict=False))
    kinds = {"category": category, "l2-category": "seeing", "hint": "nan"}
    return {"index": index, "question": "Which?", "answer": answer, "image": image, **letters, **kinds}


# Question 3 is asked in two orders, 5 and 7 in one; 7 looks at the picture of 3.
ROWS = [
    row(3, "A"),
    row(5, "B", "b3RoZXI=", category="shape"),
    row(1_000_003, "C", "3", options=("blue", "green", "red")),
    row(7, "C", "3"),
]
SAID = {3: "A", 1_000_003: "C. red", 5: "blue", 7: "A"}


def test_a_question_counts_where_every_order_of_it_is_right(write):
    references = write("mmbench_dev.tsv", table(ROWS))
    answers = [{"question_id": index, "text": text} for index, text in reversed(SAID.items())]
    scored = MMBench()(write("answers.jsonl", answers), references)
    assert scored.scores == pytest.approx({"accuracy": 200 / 3, "accuracy_a_row": 75.0})
    assert scored.by_type["category"] == {"colour": 50.0, "shape": 100.0} and scored.notes == ()
    # One order wrong: the question is lost, of the rows one.
    answers = [{**line, "text": "B"} if line["question_id"] == 1_000_003 else line for line in answers]
    scored = MMBench()(write("answers.jsonl", answers), references)
    assert scored.scores == pytest.approx({"accuracy": 100 / 3, "accuracy_a_row": 50.0})


def test_the_statistic_gives_the_scores_and_weighs_questions_by_picture(write):
    references = write("mmbench_dev.tsv", table(ROWS))
    scored = MMBench()(write("p.jsonl", [{"question_id": i, "text": t} for i, t in SAID.items()]), references)
    assert at_once(scored.statistic, 3) == pytest.approx(scored.scores)
    # Question 3 twice, 7 not at all: two of two right and one of one.
    found = scored.statistic(np.array([[2.0, 1.0, 0.0]]))
    assert [found["accuracy"][0], found["accuracy_a_row"][0]] == [100.0, 100.0]
    assert scored.clusters[0] == scored.clusters[2] != scored.clusters[1]
    assert set(intervals(scored, level=0.9, resamples=20, seed=0)) == {"accuracy", "accuracy_a_row"}


def test_an_upload_reads_as_the_answers_do(write, tmp_path):
    references = write("mmbench_dev.tsv", table(ROWS))
    lines = [("index", "question", "prediction"), *((i, "Which,\none?", t) for i, t in SAID.items())]
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    expected = {"accuracy": 200 / 3, "accuracy_a_row": 75.0}
    assert MMBench()(write("upload.csv", text.getvalue()), references).scores == pytest.approx(expected)
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(tmp_path / "upload.xlsx")
    assert MMBench()(tmp_path / "upload.xlsx", references).scores == pytest.approx(expected)


def test_the_task_and_the_file_agree(write, tmp_path):
    """What the task scores of its own predictions, its submission scores against the table."""
    from data_modules.formats import MMBench as Format
    from vl_dora.batch import Prediction
    from vl_dora.tasks.mmbench import MMBench as Task

    path = write("data/mmbench_dev.tsv", table(ROWS))
    task = Task()
    rows = Format(cache_dir=str(tmp_path / "cache")).rows(path.parent, "dev")
    examples = [task.example(found) for found, _ in rows]
    predictions = [Prediction(example, SAID[int(example.id)]) for example in examples]
    report = task.score(predictions)
    for written in task.write_submission(predictions, tmp_path):
        scored = MMBench()(written, path)
        assert scored.scores == pytest.approx(report.scores)
        assert scored.by_type == report.by_type


@pytest.mark.parametrize(
    ("rows", "head", "said", "message"),
    [
        (ROWS, HEAD, {3: "A"}, "3 of 4 ids .* without a prediction"),
        (ROWS, HEAD, {**SAID, 9: "A"}, r"1 id \(9\) not among the references"),
        ([*ROWS, row(3, "A")], HEAD, SAID, r"1 id \(3\) more than once"),
        ([row(3, "")], HEAD, {3: "A"}, "index 3: there is no answer to compare with"),
        ([row(3, "D")], HEAD, {3: "A"}, "answer of row 3 is 'D', none of its options"),
        (ROWS, [*HEAD[:7], *HEAD[8:]], SAID, "the column 'answer' is missing; columns there: index"),
    ],
)
def test_what_is_wrong_in_the_files_is_named(write, rows, head, said, message):
    references = write("mmbench_dev.tsv", table(rows, head))
    answers = write("p.jsonl", [{"question_id": index, "text": text} for index, text in said.items()])
    with pytest.raises(ValueError, match=message):
        MMBench()(answers, references)


def test_texts_that_are_no_option_are_told(write):
    references = write("mmbench_dev.tsv", table(ROWS))
    lines = [{"question_id": index, "text": "who knows"} for index in SAID]
    scored = MMBench()(write("p.jsonl", lines), references)
    assert scored.scores["accuracy"] == 0 and scored.notes == ("texts that name no option count as wrong",)
    assert json.dumps(scored.by_type)
