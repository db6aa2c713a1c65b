"""A folder of pictures with questions: what a row may hold."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import AskedFolder
from vl_dora.batch import ImageRef


def write(root, *rows, name="questions.jsonl"):
    (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(root, split="questions"):
    return [row for row, _ in AskedFolder().rows(root, split)]


def test_a_question_has_one_picture_several_or_none(tmp_path):
    write(
        tmp_path,
        {"question_id": 1, "image": "a.jpg", "text": "What?"},
        {"question_id": "x", "image": ["b/c.png", "a.jpg"], "text": "Which?"},
        {"question_id": 3, "text": "Why?"},
    )
    rows = read(tmp_path)
    assert [row["images"] for row in rows] == [
        (ImageRef("a.jpg"),),
        (ImageRef("b/c.png"), ImageRef("a.jpg")),
        (),
    ]
    assert [row["asked_id"] for row in rows] == [1, "x", 3]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "What?"}, "the field 'question_id' is missing"),
        ({"question_id": 2, "image": "a.jpg"}, "the field 'text' is missing"),
        ({"question_id": 2, "text": " "}, "'text' is empty; expected a question"),
        ({"question_id": 2, "image": 3, "text": "What?"}, "'image' must be the path of a picture"),
        ({"question_id": 1, "text": "What?"}, "question_id '1' was used before"),
    ],
)
def test_a_bad_row_names_file_and_row(tmp_path, row, message):
    write(tmp_path, {"question_id": 1, "text": "First?"}, row)
    with pytest.raises(ValueError, match="questions.jsonl, row 2") as error:
        read(tmp_path)
    assert message in str(error.value)


def test_every_file_of_lines_is_a_split(tmp_path):
    write(tmp_path, {"question_id": 1, "text": "What?"}, name="more.jsonl")
    assert AskedFolder().splits(tmp_path) == ("more",)
    with pytest.raises(FileNotFoundError, match=r"questions.jsonl, which is missing; splits there: more"):
        read(tmp_path)
