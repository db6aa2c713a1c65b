"""The GQA reader against small folders in the official layout and in VL-Adapter's."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import GQA
from vl_dora.batch import ImageRef


def question(image: str = "7", answer: str = "yes", **changes) -> dict:
    row = {
        "imageId": image,
        "question": "Is the sky dark?",
        "answer": answer,
        "isBalanced": True,
        "types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"},
        "groups": {"global": None, "local": "06-sky_dark"},
        "entailed": ["1"],
        "semantic": [{"operation": "select", "dependencies": [], "argument": "sky (0)"}],
    }
    return {k: v for k, v in {**row, **changes}.items() if v is not ...}


def write(root, name, questions):
    (root / f"{name}_questions.json").write_text(json.dumps(questions))


@pytest.fixture
def official(tmp_path):
    write(tmp_path, "train_balanced", {"20": question("7"), "10": question("8", "no")})
    write(tmp_path, "val_balanced", {"30": question("9")})
    write(tmp_path, "testdev_all", {"40": question("9", isBalanced=False)})
    return tmp_path


@pytest.fixture
def vl_adapter(tmp_path):
    for name, number in (("train", "20"), ("valid", "30"), ("testdev", "40"), ("submit", "50")):
        row = {"img_id": "7", "question_id": number, "sent": "Is it?", "label": {"yes": 1.0}}
        if name == "submit":
            del row["label"]
        (tmp_path / f"{name}.json").write_text(json.dumps([row]))
    return tmp_path


def read(root, split, **fields):
    return list(GQA(**fields).rows(root, split))


def test_official_questions_come_in_file_order_with_their_fields(official):
    rows = read(official, "train")
    assert [row["question_id"] for row, _ in rows] == ["20", "10"]
    assert rows[1][0]["answer"] == "no" and rows[1][0]["types"]["detailed"] == "verifyAttr"
    assert rows[0][0]["images"] == (ImageRef("images/7.jpg"),)
    assert rows[1][1] == f"{official / 'train_balanced_questions.json'}, question 10"


def test_a_png_or_another_folder_is_found_where_it_lies(official):
    (official / "images").mkdir()
    (official / "images" / "7.png").write_bytes(b"")
    (official / "more").mkdir()
    (official / "more" / "8.jpg").write_bytes(b"")
    images = [row["images"][0].path for row, _ in read(official, "train", picture_folders=("images", "more"))]
    assert images == ["images/7.png", "more/8.jpg"]


def test_split_words_are_those_of_the_folder_and_an_unknown_one_is_a_name(official):
    assert GQA().splits(official) == ("train", "val", "testdev_all", "train+val")
    assert [row["question_id"] for row, _ in read(official, "testdev_all")] == ["40"]
    with pytest.raises(FileNotFoundError, match="'testdev' needs the file .*testdev_balanced_questions.json"):
        read(official, "testdev")


def test_a_folder_of_numbered_files_is_read_in_the_order_of_numbers(tmp_path):
    folder = tmp_path / "train_all_questions"
    folder.mkdir()
    for number in (10, 2, 0):
        name = f"train_all_questions_{number}.json"
        (folder / name).write_text(json.dumps({f"{number}": question()}))
    assert [row["question_id"] for row, _ in read(tmp_path, "train_all")] == ["0", "2", "10"]


def test_splits_joined_by_plus_follow_each_other_and_may_not_share_a_question(official):
    assert [row["question_id"] for row, _ in read(official, "train+val")] == ["20", "10", "30"]
    write(official, "val_balanced", {"20": question("9")})
    with pytest.raises(ValueError, match="question_id '20' was used before, in .*train_balanced"):
        read(official, "train+val")


def test_the_references_fault_trains_on_val_and_chooses_on_testdev(vl_adapter):
    faulty = {"chooses_on_testdev": True}
    assert [row["question_id"] for row, _ in read(vl_adapter, "train", **faulty)] == ["20", "30"]
    assert [row["question_id"] for row, _ in read(vl_adapter, "val", **faulty)] == ["40"]
    assert [row["question_id"] for row, _ in read(vl_adapter, "val")] == ["30"]


def test_vl_adapters_rows_are_read_where_no_official_file_is(vl_adapter):
    assert GQA().splits(vl_adapter) == ("train", "val", "testdev", "submit", "train+val")
    row, where = read(vl_adapter, "testdev")[0]
    assert row == {
        "question_id": "40",
        "image_id": "7",
        "question": "Is it?",
        "label": {"yes": 1.0},
        "images": (ImageRef("images/7.jpg"),),
    }
    assert where == f"{vl_adapter / 'testdev.json'}, row 1"


def test_questions_without_answers_are_an_error_unless_asked_for(vl_adapter):
    with pytest.raises(ValueError, match="submit.json, row 1: no 'label'.*unanswered=true"):
        read(vl_adapter, "submit")
    assert "label" not in read(vl_adapter, "submit", unanswered=True)[0][0]


def test_official_questions_without_answers_need_the_same(official):
    bare = {"imageId": "7", "question": "Is it?", "isBalanced": True}
    write(official, "submission_all", {"50": bare})
    with pytest.raises(ValueError, match="question 50: the field 'answer' is missing"):
        read(official, "submission_all")
    assert read(official, "submission_all", unanswered=True)[0][0]["question"] == "Is it?"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imageId": 7}, "'imageId' must be a text, got 7"),
        ({"question": ...}, "the field 'question' is missing"),
        ({"isBalanced": "yes"}, "'isBalanced' must be true or false"),
        ({"types": {"structural": "verify"}}, "field 'types': the field 'semantic' is missing"),
        ({"entailed": "1"}, "'entailed' must be a list"),
    ],
)
def test_a_bad_question_names_file_question_and_field(official, changes, message):
    write(official, "train_balanced", {"20": question(**changes)})
    with pytest.raises(ValueError) as error:
        read(official, "train")
    assert f"{official / 'train_balanced_questions.json'}, question 20" in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("label", [{"yes": 2}, {"yes": "1"}, {"yes": True}, ["yes"]])
def test_a_bad_label_names_file_and_row(vl_adapter, label):
    rows = [{"img_id": "7", "question_id": "1", "sent": "Is it?", "label": label}]
    (vl_adapter / "train.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match="train.json, row 1: 'label'"):
        read(vl_adapter, "train")


def test_a_list_where_rows_are_expected_and_its_absence_are_named(vl_adapter):
    (vl_adapter / "train.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="train.json: expected a list"):
        read(vl_adapter, "train")
