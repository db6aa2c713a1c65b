"""VQAv2 as LLaVA asks it, against small folders in the layout of playground/data/eval/vqav2."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import LlavaVQAv2
from vl_dora.batch import ImageRef

PROMPT = "Is it raining?\nAnswer the question using a single word or phrase."


def asked(root, name, *numbers, **changes):
    rows = [
        {
            "question_id": n,
            "image": f"COCO_test2015_{n:012d}.jpg",
            "text": PROMPT,
            "category": "default",
            **changes,
        }
        for n in numbers
    ]
    path = root / f"llava_vqav2_mscoco_{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def official(root, name, *numbers):
    questions = [{"question_id": n, "image_id": n, "question": "Is it raining?"} for n in numbers]
    path = root / f"v2_OpenEnded_mscoco_{name}_questions.json"
    path.write_text(json.dumps({"questions": questions}))


def annotations(root, name, *numbers):
    answers = [{"answer": "yes", "answer_id": i} for i in range(1, 11)]
    kinds = {"question_type": "is it", "answer_type": "yes/no", "answers": answers}
    rows = [{"question_id": n, "image_id": n, **kinds} for n in numbers]
    (root / f"v2_mscoco_{name}_annotations.json").write_text(json.dumps({"annotations": rows}))


def read(root, split="test", **fields):
    return [row for row, _ in LlavaVQAv2(**fields).rows(root, split)]


def test_a_row_has_prompt_question_and_picture_and_no_answers_where_none_are_public(tmp_path):
    asked(tmp_path, "test-dev2015", 20, 10)
    rows = read(tmp_path)
    assert [row["question_id"] for row in rows] == [20, 10]
    assert rows[0]["text"] == PROMPT and rows[0]["question"] == "Is it raining?"
    assert rows[0]["images"] == (ImageRef("test2015/COCO_test2015_000000000020.jpg"),)
    assert "answers" not in rows[0]
    assert rows[0]["listed_in"] == str(tmp_path / "llava_vqav2_mscoco_test-dev2015.jsonl")


def test_official_questions_get_the_same_prompt(tmp_path):
    official(tmp_path, "test-dev2015", 20)
    made = read(tmp_path)
    asked(tmp_path, "test-dev2015", 20)
    given = read(tmp_path)
    for name in ("question_id", "asked_id", "text", "question", "images"):
        assert made[0][name] == given[0][name], name


def test_annotations_are_joined_by_id_and_both_sides_must_be_whole(tmp_path):
    asked(tmp_path, "val2014", 20, 10)
    annotations(tmp_path, "val2014", 10, 20)
    row = read(tmp_path, "val")[0]
    assert len(row["answers"]) == 10 and row["question_type"] == "is it" and row["answer_type"] == "yes/no"
    annotations(tmp_path, "val2014", 10)
    with pytest.raises(ValueError, match="1 question without an annotation in .*annotations.json: .*row 1"):
        read(tmp_path, "val")
    annotations(tmp_path, "val2014", 10, 20, 30)
    with pytest.raises(
        ValueError, match=r"1 annotation without a question in .*llava_vqav2_mscoco_val2014.jsonl"
    ):
        read(tmp_path, "val")
    assert len(read(tmp_path, "val", unasked="ignore")) == 2


def test_the_file_of_all_that_evalai_wants_is_named_where_it_is_there(tmp_path):
    asked(tmp_path, "test-dev2015", 20)
    asked(tmp_path, "test2015", 20, 30)
    assert read(tmp_path)[0]["listed_in"] == str(tmp_path / "llava_vqav2_mscoco_test2015.jsonl")


def test_splits_are_those_of_the_files_and_another_is_an_error_that_lists_them(tmp_path):
    asked(tmp_path, "test-dev2015", 20)
    official(tmp_path, "val2014", 1)
    official(tmp_path, "dev", 1)
    assert LlavaVQAv2().splits(tmp_path) == ("test", "val", "dev")
    with pytest.raises(FileNotFoundError, match="split 'train' needs .*splits there: test, val, dev"):
        read(tmp_path, "train")


def test_an_id_that_is_no_number_is_an_error(tmp_path):
    asked(tmp_path, "test-dev2015", 20, question_id="a20")
    with pytest.raises(ValueError, match="row 1: 'question_id' must be a whole number, got 'a20'"):
        read(tmp_path)
