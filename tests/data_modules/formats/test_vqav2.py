"""The VQAv2 reader against small folders in the official layout."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import VQAv2
from vl_dora.batch import ImageRef


def question(number: int, image: int, text: str = "Is it raining?") -> dict:
    return {"question_id": number, "image_id": image, "question": text}


def annotation(number: int, image: int, *answers: str) -> dict:
    given = [{"answer": a, "answer_confidence": "yes", "answer_id": i} for i, a in enumerate(answers, 1)]
    return {
        "question_id": number,
        "image_id": image,
        "question_type": "is it",
        "answer_type": "yes/no",
        "multiple_choice_answer": answers[0] if answers else "",
        "answers": given,
    }


def write(root, name, questions, annotations=None):
    document = {"info": {}, "data_subtype": name, "questions": questions}
    (root / f"v2_OpenEnded_mscoco_{name}_questions.json").write_text(json.dumps(document, indent=1))
    if annotations is not None:
        (root / f"v2_mscoco_{name}_annotations.json").write_text(json.dumps({"annotations": annotations}))


@pytest.fixture
def root(tmp_path):
    questions = [question(20, 2), question(10, 1, "How many?")]
    write(tmp_path, "val2014", questions, [annotation(10, 1, "2", "two"), annotation(20, 2, "yes", "yes")])
    return tmp_path


def read(root, split="val", **fields):
    return list(VQAv2(**fields).rows(root, split))


def test_joins_questions_and_annotations_in_the_order_of_the_questions(root):
    rows = [row for row, _ in read(root)]
    assert [row["question_id"] for row in rows] == [20, 10]
    assert rows[1]["question"] == "How many?"
    assert [a["answer"] for a in rows[1]["answers"]] == ["2", "two"]
    assert rows[1]["question_type"] == "is it" and rows[1]["answer_type"] == "yes/no"


def test_says_where_every_row_stands(root):
    path = root / "v2_OpenEnded_mscoco_val2014_questions.json"
    assert [where for _, where in read(root)] == [f"{path}, row 1", f"{path}, row 2"]


def test_names_pictures_as_coco_does_and_takes_a_png_where_one_lies(root):
    (root / "val2014").mkdir()
    (root / "val2014" / "COCO_val2014_000000000002.png").write_bytes(b"")
    images = [row["images"] for row, _ in read(root)]
    assert images[0] == (ImageRef("val2014/COCO_val2014_000000000002.png"),)
    assert images[1] == (ImageRef("val2014/COCO_val2014_000000000001.jpg"),)


def test_an_unknown_split_word_is_a_name_itself(root):
    write(root, "held_out", [question(1, 7)], [annotation(1, 7, "no")])
    rows = read(root, "held_out")
    assert rows[0][0]["images"] == (ImageRef("held_out/COCO_held_out_000000000007.jpg"),)
    assert VQAv2().splits(root) == ("val", "held_out")


def test_test_dev_shares_the_pictures_of_test(root):
    write(root, "test-dev2015", [question(1, 7)])
    row, _ = read(root, "test-dev2015", unanswered=True)[0]
    assert row["images"] == (ImageRef("test2015/COCO_test2015_000000000007.jpg"),)
    assert "answers" not in row


def test_a_missing_annotation_file_is_an_error_unless_asked_for(root):
    write(root, "test2015", [question(1, 7)])
    with pytest.raises(FileNotFoundError, match="v2_mscoco_test2015_annotations.json.*unanswered=true"):
        read(root, "test")
    assert len(read(root, "test", unanswered=True)) == 1


def test_a_question_without_annotation_is_an_error_unless_asked_for(root):
    write(root, "val2014", [question(10, 1), question(30, 3)], [annotation(10, 1, "2")])
    with pytest.raises(ValueError, match="row 2: question_id 30 has no annotation"):
        read(root)
    assert ["answers" in row for row, _ in read(root, unanswered=True)] == [True, False]


def test_annotations_of_no_question_are_warned_of(root, caplog):
    write(root, "val2014", [question(10, 1)], [annotation(10, 1, "2"), annotation(11, 1, "2")])
    assert len(read(root)) == 1
    assert "1 annotations belong to none of its questions" in caplog.text


def test_a_missing_folder_an_empty_folder_and_a_file_are_told_apart(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name, message in (("none", "does not exist"), ("empty", "is an empty folder"), ("file", "is a file")):
        with pytest.raises(FileNotFoundError, match=f"data.root=.*{name} {message}"):
            read(tmp_path / name)


def test_a_missing_split_lists_those_that_are_there(root):
    with pytest.raises(FileNotFoundError, match="split 'train' needs .*train2014.*; splits there: val"):
        read(root, "train")


def test_text_that_is_not_json_is_reported_with_its_line(root):
    path = root / "v2_mscoco_val2014_annotations.json"
    path.write_text('{"annotations": [\n{"question_id": 1,}\n]}')
    with pytest.raises(ValueError, match=r"annotations.json, line 2, column \d+: not JSON"):
        read(root)


def test_an_empty_file_and_bytes_that_are_no_text_are_reported(root):
    path = root / "v2_mscoco_val2014_annotations.json"
    path.write_text("")
    with pytest.raises(ValueError, match="annotations.json is empty"):
        read(root)
    path.write_bytes(b'{"a":\n"\xff"}')
    with pytest.raises(ValueError, match="annotations.json, line 2: not UTF-8"):
        read(root)


def without(row: dict, name: str) -> dict:
    return {key: value for key, value in row.items() if key != name}


@pytest.mark.parametrize("name", ["question_id", "image_id", "question"])
def test_a_question_lacking_a_field_is_named(root, name):
    write(root, "val2014", [question(10, 1), without(question(20, 2), name)], [annotation(10, 1, "2")])
    with pytest.raises(
        ValueError, match=f"questions.json, row 2: the field '{name}' is missing; fields there"
    ):
        read(root, unanswered=True)


@pytest.mark.parametrize("name", ["question_id", "image_id", "question_type", "answer_type", "answers"])
def test_an_annotation_lacking_a_field_is_named(root, name):
    write(root, "val2014", [question(10, 1)], [without(annotation(10, 1, "2"), name)])
    with pytest.raises(ValueError, match=f"annotations.json, row 1: the field '{name}' is missing"):
        read(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question_id": "10"}, "row 1: 'question_id' must be a whole number, got \"10\""),
        ({"image_id": True}, "row 1: 'image_id' must be a whole number, got true"),
        ({"question": ["Is it?"]}, r"row 1: 'question' must be a text, got \[\"Is it"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(root, change, message):
    write(root, "val2014", [question(10, 1) | change], [annotation(10, 1, "2")])
    with pytest.raises(ValueError, match=message):
        read(root, unanswered=True)


def test_answers_must_be_objects_with_a_text(root):
    broken = annotation(10, 1, "2", "two")
    broken["answers"][1] = "two"
    write(root, "val2014", [question(10, 1)], [broken])
    with pytest.raises(ValueError, match="annotations.json, row 1, answer 2: expected an object"):
        read(root)
    write(root, "val2014", [question(10, 1)], [annotation(10, 1)])
    with pytest.raises(ValueError, match="row 1: 'answers' is an empty list"):
        read(root)


def test_a_question_id_used_twice_names_both_rows(root):
    write(root, "val2014", [question(10, 1), question(10, 1)], [annotation(10, 1, "2")])
    with pytest.raises(ValueError, match="row 2: question_id 10 was used before, in .*questions.json, row 1"):
        read(root)
    write(root, "val2014", [question(10, 1)], [annotation(10, 1, "2"), annotation(10, 1, "2")])
    with pytest.raises(ValueError, match="annotations.json, row 2: question_id 10 was used before"):
        read(root)


def test_question_and_annotation_must_speak_of_one_picture(root):
    write(root, "val2014", [question(10, 1)], [annotation(10, 2, "2")])
    with pytest.raises(ValueError, match="row 1: image_id 1, but .*annotations.json, row 1 has image_id 2"):
        read(root)


def test_a_document_of_another_shape_is_reported(root):
    path = root / "v2_OpenEnded_mscoco_val2014_questions.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"questions.json: expected an object \{...\}, got \[\]"):
        read(root)
    path.write_text('{"questions": {}}')
    with pytest.raises(ValueError, match="'questions' must be a list"):
        read(root)
