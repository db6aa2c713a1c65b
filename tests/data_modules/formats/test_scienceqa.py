"""The ScienceQA reader: LLaVA's questions with the official problems, with and without pictures."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import ScienceQA
from vl_dora.batch import ImageRef

END = "\nAnswer with the option's letter from the given choices directly."


def problem(image=None, **changes):
    row = {
        "question": "Which is it?",
        "choices": ["a leaf", "a stone"],
        "answer": 1,
        "hint": "",
        "image": image,
        "subject": "natural science",
        "grade": "grade2",
        "topic": "biology",
        "lecture": "Plants grow.",
        **changes,
    }
    return {key: value for key, value in row.items() if value is not ...}


def official(root, problems, **splits):
    (root / "problems.json").write_text(json.dumps(problems))
    (root / "pid_splits.json").write_text(json.dumps(splits or {"test": list(problems)}))


def turn(name, text, image=None, **changes):
    row = {"id": name, "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": "B"}]}
    return {**row, **({"image": image} if image else {}), **changes}


def asked(root, *rows):
    (root / "llava_test_CQM-A.json").write_text(json.dumps(rows))


def read(root, split="test", **fields):
    return [row for row, _ in ScienceQA(**fields).rows(root, split)]


@pytest.fixture
def root(tmp_path):
    official(tmp_path, {"4": problem(), "5": problem("image.png", hint="Look.")})
    return tmp_path


def test_the_prompt_is_the_turn_without_its_token_and_the_instruction(root):
    asked(root, turn("5", "<image>\nContext: Look.", "5/image.png"), turn("4", "Context: N/A"))
    rows = read(root)
    assert [row["question_id"] for row in rows] == ["5", "4"]
    assert rows[0]["text"] == f"Context: Look.{END}" and rows[1]["text"] == f"Context: N/A{END}"
    assert rows[0]["images"] == (ImageRef("images/test/5/image.png"),) and rows[1]["images"] == ()
    assert rows[0]["answer"] == 1 and rows[0]["subject"] == "natural science"


def test_official_problems_alone_are_asked_as_context_question_options(root):
    rows = read(root)
    options = "Question: Which is it?\nOptions: (A) a leaf (B) a stone"
    assert rows[0]["text"] == f"Context: N/A\n{options}{END}"
    assert rows[1]["text"] == f"Context: Look.\n{options}{END}"
    assert [len(row["images"]) for row in rows] == [0, 1]


def test_the_image_subset_leaves_out_text_only_problems(root):
    assert [row["question_id"] for row in read(root, image_only=True)] == ["5"]


def test_splits_are_those_of_the_official_list(root):
    official(root, {"4": problem(), "5": problem()}, val=["4"], test=["5"])
    assert ScienceQA().splits(root) == ("val", "test")
    assert [row["question_id"] for row in read(root, "val")] == ["4"]
    with pytest.raises(FileNotFoundError, match="split 'train' is not in .*splits there: val, test"):
        read(root, "train")


def test_files_that_do_not_belong_together_are_counted_and_named(root):
    asked(root, turn("4", "a"), turn("9", "b"))
    with pytest.raises(ValueError, match=r"1 problem \(9\) of split 'test' not in .*problems.json"):
        read(root)
    asked(root, turn("4", "a"))
    with pytest.raises(ValueError, match=r"1 problem \(5\) of split 'test' without a question"):
        read(root)
    official(root, {"4": problem(), "5": problem()}, test=["4"])
    asked(root, turn("4", "a"), turn("5", "b"))
    with pytest.raises(ValueError, match=r"1 question \(5\) not of split 'test'"):
        read(root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choices": ["one"]}, "'choices' must be 2 to 5 texts"),
        ({"answer": 2}, "'answer' must lie in 0..1, got 2"),
        ({"hint": None}, "'hint' must be a text"),
        ({"topic": ...}, "the field 'topic' is missing"),
        ({"image": 3}, "'image' must be a text"),
    ],
)
def test_a_bad_problem_names_file_and_problem(root, changes, message):
    official(root, {"4": problem(**changes)})
    with pytest.raises(ValueError, match="problems.json, problem 4") as error:
        read(root)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (turn("4", "<image>\na"), "an image token but no image"),
        (turn("4", "a", "4/image.png"), "an image but no image token"),
        (turn("4", "a", conversations=[]), "'conversations' is empty"),
        (turn("4", "a", conversations=[{"from": "gpt", "value": "a"}]), "must begin with human, got 'gpt'"),
    ],
)
def test_a_bad_question_names_file_and_row(root, row, message):
    asked(root, row)
    with pytest.raises(ValueError, match="llava_test_CQM-A.json, row 1") as error:
        read(root)
    assert message in str(error.value)


def test_a_doubled_question_and_missing_official_files_are_errors(root):
    asked(root, turn("4", "a"), turn("4", "b"))
    with pytest.raises(ValueError, match="row 2: id '4' was used before"):
        read(root)
    (root / "pid_splits.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"pid_splits.json is missing"):
        read(root)
    (root / "problems.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"problems.json is missing"):
        read(root)
