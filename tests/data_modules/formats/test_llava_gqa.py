"""GQA as LLaVA asks it, against small folders in the layout of playground/data/eval/gqa."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import LlavaGQA
from vl_dora.batch import ImageRef

PROMPT = "Is the sky dark?\nAnswer the question using a single word or phrase."


def official(root, *names, name="testdev_balanced"):
    root.mkdir(parents=True, exist_ok=True)
    row = {
        "imageId": "n161313",
        "question": "Is the sky dark?",
        "answer": "yes",
        "isBalanced": True,
        "types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"},
        "groups": {"global": None},
        "entailed": [],
        "semantic": [],
    }
    (root / f"{name}_questions.json").write_text(json.dumps({name: row for name in names}))


def asked(root, *names, image="n161313.jpg"):
    rows = [{"question_id": n, "image": image, "text": PROMPT, "category": "default"} for n in names]
    path = root / "llava_gqa_testdev_balanced.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(root, **fields):
    return [row for row, _ in LlavaGQA(**fields).rows(root, "test")]


def test_rows_follow_llavas_file_with_the_official_answers(tmp_path):
    official(tmp_path / "data", "201", "202")
    asked(tmp_path, "202", "201")
    rows = read(tmp_path)
    assert [row["question_id"] for row in rows] == ["202", "201"]
    assert rows[0]["text"] == PROMPT and rows[0]["answer"] == "yes" and rows[0]["asked_id"] == "202"
    assert rows[0]["images"] == (ImageRef("data/images/n161313.jpg"),)


@pytest.mark.parametrize("folder", ["data", "."])
def test_official_questions_alone_get_the_same_prompt_wherever_they_lie(tmp_path, folder):
    official(tmp_path / folder, "201")
    made = read(tmp_path)[0]
    asked(tmp_path, "201")
    given = read(tmp_path)[0]
    assert {k: made[k] for k in ("text", "asked_id", "images")} == {
        k: given[k] for k in ("text", "asked_id", "images")
    }
    assert LlavaGQA().splits(tmp_path) == ("test",)


def test_files_that_do_not_belong_together_are_errors(tmp_path):
    official(tmp_path / "data", "201", "203")
    asked(tmp_path, "201", "202")
    with pytest.raises(
        ValueError, match="1 question without an annotation in .*testdev_balanced_questions.json"
    ):
        read(tmp_path)
    asked(tmp_path, "201")
    with pytest.raises(ValueError, match="1 annotation without a question in .*: .*question 203"):
        read(tmp_path)
    asked(tmp_path, "201", "203", image="n7.jpg")
    with pytest.raises(
        ValueError, match=r"row 1: image 'n7.jpg', but the official question 201 is about 'n161313'"
    ):
        read(tmp_path)


def test_without_official_questions_the_file_needed_is_named(tmp_path):
    asked(tmp_path, "201")
    with pytest.raises(FileNotFoundError, match="needs the file .*data/testdev_balanced_questions.json"):
        read(tmp_path)
