"""LLaVA's question files: what a row must hold, and how questions find their annotations."""

from __future__ import annotations

import json

import pytest

from data_modules.formats.llava_questions import paired, question_of, question_rows
from vl_dora.batch import ImageRef


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(number=1, **changes):
    given = {
        "question_id": number,
        "image": "a.jpg",
        "text": "Is it?\nAnswer.",
        "category": "default",
        **changes,
    }
    return {key: value for key, value in given.items() if value is not ...}


def test_rows_keep_their_order_and_their_id_as_it_is_written(tmp_path):
    path = write(tmp_path / "q.jsonl", [row(7), row("003a8ae2")])
    rows = list(question_rows(path))
    assert [found["asked_id"] for found, _ in rows] == [7, "003a8ae2"]
    assert rows[1][1] == f"{path}, row 2" and rows[0][0]["text"] == "Is it?\nAnswer."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question_id": ...}, "the field 'question_id' is missing"),
        ({"question_id": True}, "'question_id' must be a text, got true"),
        ({"image": ...}, "the field 'image' is missing"),
        ({"text": 3}, "'text' must be a text, got 3"),
        ({"category": 3}, "'category' must be a text"),
    ],
)
def test_a_bad_row_names_file_row_and_field(tmp_path, changes, message):
    path = write(tmp_path / "q.jsonl", [row(1), row(2, **changes)])
    with pytest.raises(ValueError, match="q.jsonl, row 2") as error:
        list(question_rows(path))
    assert message in str(error.value)


def test_an_id_may_be_there_once_unless_it_names_the_picture(tmp_path):
    path = write(tmp_path / "q.jsonl", [row(1), row("1")])
    with pytest.raises(ValueError, match="row 2: question_id '1' was used before, in .*row 1"):
        list(question_rows(path))
    assert len(list(question_rows(path, unique=False))) == 2


@pytest.mark.parametrize(
    "text",
    ["what is it?\nAnswer.", "what is it?", "Reference OCR token: A, B\nwhat is it?\nAnswer."],
)
def test_the_question_is_the_first_line_that_holds_no_tokens(text):
    assert question_of(text) == "what is it?"


def numbered(*numbers):
    return [({"n": number, "place": place}, f"row {place}") for place, number in enumerate(numbers, start=1)]


def pairs(questions, annotations, **options):
    rows = paired(questions, annotations, lambda r: r["n"], lambda r: r["n"], files=("q", "a"), **options)
    return [(asked["place"], known["place"]) for asked, _, known in rows]


def test_questions_and_annotations_meet_by_key_in_the_order_of_the_questions():
    assert pairs(numbered(5, 3), numbered(3, 5)) == [(1, 2), (2, 1)]


def test_one_question_asked_twice_takes_its_annotations_in_turn():
    assert pairs(numbered(5, 3, 5), numbered(5, 5, 3)) == [(1, 1), (2, 3), (3, 2)]


def test_what_has_no_counterpart_is_counted_and_named():
    with pytest.raises(ValueError, match=r"2 questions without an annotation in a: row 1; row 3"):
        pairs(numbered(8, 3, 9), numbered(3))
    with pytest.raises(
        ValueError, match=r"1 annotation without a question in q: row 2; set data.files.unasked"
    ):
        pairs(numbered(3), numbered(3, 4))
    assert pairs(numbered(3), numbered(3, 4), unasked="ignore") == [(1, 1)]
    with pytest.raises(ValueError, match="data.files.unasked='no' must be raise or ignore"):
        pairs(numbered(3), numbered(3), unasked="no")


def test_a_picture_is_found_in_the_first_folder_that_has_it(tmp_path):
    from data_modules.formats.llava_pictures import NamedPictures

    for name in ("one/a.png", "two/b.jpg", "two/5/image.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    pictures = NamedPictures(tmp_path, ("one", "two"))
    named = [
        pictures.named(name).path for name in ("a.png", "b.jpg", "5/image.png", "lost.jpg", "6/lost.png")
    ]
    assert named == ["one/a.png", "two/b.jpg", "two/5/image.png", "one/lost.jpg", "one/6/lost.png"]
    assert pictures.of_stem("a") == ImageRef("one/a.png")
