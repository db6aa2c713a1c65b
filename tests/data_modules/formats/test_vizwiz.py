"""The VizWiz reader: LLaVA's file, the official file, and both."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import VizWiz
from vl_dora.batch import ImageRef

PROMPT = (
    "What is this?\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n"
    "Answer the question using a single word or phrase."
)


def picture(number, split="val"):
    return f"VizWiz_{split}_{number:08d}.jpg"


def asked(root, *numbers):
    rows = [{"question_id": n, "image": picture(n), "text": PROMPT, "category": "default"} for n in numbers]
    (root / "llava_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def official(root, *numbers, split="val", **changes):
    answers = [{"answer": "unanswerable", "answer_confidence": "yes"}] * 10
    row = {"question": "What is this?", "answers": answers, "answer_type": "unanswerable", "answerable": 0}
    rows = [{"image": picture(n, split), **row, **changes} for n in numbers]
    rows = [{key: value for key, value in one.items() if value is not ...} for one in rows]
    root.mkdir(exist_ok=True)
    (root / f"{split}.json").write_text(json.dumps(rows))


def read(root, split="val", **fields):
    return [row for row, _ in VizWiz(**fields).rows(root, split)]


def test_the_official_file_alone_gets_llavas_prompt(tmp_path):
    official(tmp_path / "Annotations", 4, 2)
    rows = read(tmp_path)
    assert [row["image"] for row in rows] == [picture(4), picture(2)]
    assert rows[0]["text"] == PROMPT and rows[0]["answerable"] == 0 and len(rows[0]["answers"]) == 10
    assert rows[1]["images"] == (ImageRef(f"val/{picture(2)}"),)
    assert [row["question_id"] for row in rows] == [0, 1]


def test_both_files_meet_by_picture(tmp_path):
    official(tmp_path, 4, 2)
    asked(tmp_path, 2, 4)
    rows = read(tmp_path)
    assert [row["question_id"] for row in rows] == [2, 4] and rows[0]["image"] == picture(2)
    asked(tmp_path, 2, 3)
    with pytest.raises(ValueError, match="1 question without an annotation in .*val.json: .*row 2"):
        read(tmp_path)


def test_test_has_questions_without_answers(tmp_path):
    official(tmp_path, 1, split="test", answers=..., answer_type=..., answerable=...)
    assert "answers" not in read(tmp_path, "test")[0]
    assert VizWiz().splits(tmp_path) == ("test",)


def test_llavas_file_alone_is_read_and_no_file_is_an_error(tmp_path):
    asked(tmp_path, 5)
    assert read(tmp_path)[0]["question"] == "What is this?" and VizWiz().splits(tmp_path) == ("val",)
    with pytest.raises(
        FileNotFoundError, match=r"llava_test.jsonl, or test.json beside it; splits there: val"
    ):
        read(tmp_path, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": 3}, "'image' must be a text"),
        ({"question": ...}, "the field 'question' is missing"),
        ({"answers": []}, "'answers' is an empty list"),
        ({"answers": [{"answer": 3}]}, "answer 1: 'answer' must be a text"),
        ({"answerable": 2}, "'answerable' must be 0 or 1, got 2"),
    ],
)
def test_a_bad_row_names_file_and_row(tmp_path, changes, message):
    official(tmp_path, 1, **changes)
    with pytest.raises(ValueError, match="val.json, row 1") as error:
        read(tmp_path)
    assert message in str(error.value)


def test_a_picture_may_have_one_question(tmp_path):
    official(tmp_path, 1, 1)
    with pytest.raises(ValueError, match=r"row 2: image 'VizWiz_val_00000001.jpg' was used before"):
        read(tmp_path)
