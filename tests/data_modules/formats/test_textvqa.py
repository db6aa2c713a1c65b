"""The TextVQA reader: LLaVA's prompts joined by picture and question, or made with Rosetta's tokens."""

from __future__ import annotations

import json
import logging

import pytest

from data_modules.formats import TextVQA
from vl_dora.batch import ImageRef

END = "\nAnswer the question using a single word or phrase."


def official(root, *questions, split="val", **changes):
    """Questions as (number, picture, text)."""
    rows = [
        {"question_id": n, "image_id": image, "question": text, "answers": ["dakota"] * 10, **changes}
        for n, image, text in questions
    ]
    (root / f"TextVQA_0.5.1_{split}.json").write_text(json.dumps({"data": rows}))


def asked(root, *questions):
    """Questions as (picture, prompt)."""
    rows = [
        {"question_id": image, "image": f"{image}.jpg", "text": text, "category": "default"}
        for image, text in questions
    ]
    path = root / "llava_textvqa_val_v051_ocr.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def tokens(root, **read):
    rows = [{"image_id": image, "ocr_tokens": words} for image, words in read.items()]
    (root / "TextVQA_Rosetta_OCR_v0.2_val.json").write_text(json.dumps({"data": rows}))


def read(root, split="val", **fields):
    return [row for row, _ in TextVQA(**fields).rows(root, split)]


def test_prompts_find_their_answers_by_picture_and_lower_cased_question(tmp_path):
    official(tmp_path, (1, "aa", "What year?"), (2, "aa", "what brand?"), (3, "bb", "what year?"))
    asked(
        tmp_path,
        ("bb", f"what year?\nReference OCR token: 1999{END}"),
        ("aa", f"what year?\nReference OCR token: {END}"),
        ("aa", f"What Brand?\nReference OCR token: MIA, DAKOTA{END}"),
    )
    rows = read(tmp_path)
    assert [row["question_id"] for row in rows] == [3, 1, 2]
    assert rows[2]["text"] == f"What Brand?\nReference OCR token: MIA, DAKOTA{END}"
    assert rows[2]["asked_id"] == "aa" and rows[2]["answers"] == ["dakota"] * 10
    assert rows[2]["images"] == (ImageRef("train_images/aa.jpg"),)


def test_a_question_asked_twice_of_a_picture_stays_two_questions(tmp_path):
    official(tmp_path, (1, "aa", "what?"), (2, "aa", "what?"))
    asked(tmp_path, ("aa", f"what?{END}"), ("aa", f"what?{END}"))
    assert [row["question_id"] for row in read(tmp_path)] == [1, 2]


def test_official_questions_get_the_prompt_with_rosettas_tokens(tmp_path, caplog):
    official(tmp_path, (1, "aa", "what brand?"), (2, "bb", "what?"))
    tokens(tmp_path, aa=["MIA", "DAKOTA"], bb=[])
    rows = read(tmp_path)
    assert rows[0]["text"] == f"what brand?\nReference OCR token: MIA, DAKOTA{END}"
    assert rows[1]["text"] == f"what?{END}" and rows[0]["asked_id"] == "aa"
    assert not caplog.records


def test_prompts_without_any_tokens_are_told_in_the_log(tmp_path, caplog):
    official(tmp_path, (1, "aa", "what brand?"))
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path)[0]["text"] == f"what brand?{END}"
    assert "go without the line 'Reference OCR token:'" in caplog.text


def test_files_that_do_not_belong_together_are_errors(tmp_path):
    official(tmp_path, (1, "aa", "what?"), (2, "bb", "what?"))
    asked(tmp_path, ("aa", f"what?{END}"), ("aa", f"who?{END}"))
    with pytest.raises(
        ValueError, match="1 question without an annotation in .*TextVQA_0.5.1_val.json: .*row 2"
    ):
        read(tmp_path)
    asked(tmp_path, ("aa", f"what?{END}"))
    with pytest.raises(
        ValueError, match="1 annotation without a question in .*llava_textvqa_val_v051_ocr.jsonl"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question_id": "1"}, "'question_id' must be a whole number"),
        ({"answers": ["a"] * 9}, "'answers' must be a list of 10 texts, got 9"),
        ({"image_id": 5}, "'image_id' must be a text"),
    ],
)
def test_a_bad_row_names_file_and_row(tmp_path, changes, message):
    official(tmp_path, (1, "aa", "what?"), **changes)
    with pytest.raises(ValueError, match="TextVQA_0.5.1_val.json, row 1") as error:
        read(tmp_path)
    assert message in str(error.value)


def test_a_missing_split_names_its_file_and_two_versions_are_refused(tmp_path):
    official(tmp_path, (1, "aa", "what?"))
    assert TextVQA().splits(tmp_path) == ("val",)
    with pytest.raises(
        FileNotFoundError, match=r"TextVQA_0.5.1_test.json, which is missing; splits there: val"
    ):
        read(tmp_path, "test")
    (tmp_path / "TextVQA_0.5_val.json").write_text("{}")
    with pytest.raises(ValueError, match="several files of split 'val'"):
        read(tmp_path)
