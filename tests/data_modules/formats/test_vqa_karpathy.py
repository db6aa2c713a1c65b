"""VQAv2 in VL-Adapter's files, through the reader that tells the two layouts apart."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import VQAv2
from vl_dora.tasks.vqa import VQA

ANSWERS = [{"answer": word, "answer_id": k} for k, word in enumerate(["net"] * 7 + ["bag"] * 3, start=1)]


def row(number: int = 1, **changes) -> dict:
    given = {
        "question_id": number,
        "img_id": "COCO_val2014_000000000007",
        "sent": "What is this?",
        "label": {"net": 1, "bag": 0.9},
        "question_type": "what is this",
        "answer_type": "other",
    }
    return {k: v for k, v in {**given, **changes}.items() if v is not ...}


def annotation(number: int) -> dict:
    known = {"question_id": number, "image_id": 7, "question_type": "what is", "answer_type": "other"}
    return {**known, "answers": ANSWERS}


def write(root, name, *rows):
    (root / f"{name}.json").write_text(json.dumps(rows))


def annotate(root, *numbers):
    document = {"annotations": [annotation(number) for number in numbers]}
    (root / "v2_mscoco_val2014_annotations.json").write_text(json.dumps(document))


def read(root, split, **fields):
    return [given for given, _ in VQAv2(**fields).rows(root, split)]


def test_the_layout_is_told_by_what_is_in_the_folder(tmp_path):
    write(tmp_path, "karpathy_train", row())
    write(tmp_path, "karpathy_test", row())
    assert VQAv2().splits(tmp_path) == ("train", "test")
    (tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json").write_text('{"questions": []}')
    assert VQAv2().splits(tmp_path) == ("val",)


def test_training_rows_carry_their_soft_labels(tmp_path):
    write(tmp_path, "karpathy_train", row())
    (given,) = read(tmp_path, "train")
    assert given["label"] == {"net": 1.0, "bag": 0.9} and "answers" not in given
    assert given["images"][0].path == "val2014/COCO_val2014_000000000007.jpg"
    example = VQA().example(given)
    assert example.target == "net" and dict(example.targets) == {"net": 1.0, "bag": 0.9}


def test_a_split_to_score_takes_the_official_answers_beside_it(tmp_path):
    write(tmp_path, "karpathy_test", row(1), row(2, question_type=...))
    annotate(tmp_path, 1, 2)
    first, second = read(tmp_path, "test")
    assert first["answers"] == ANSWERS and first["question_type"] == "what is this"
    assert second["question_type"] == "what is"
    assert VQA().example(first).answers == ("net",) * 7 + ("bag",) * 3


def test_answers_inside_a_row_come_first(tmp_path):
    write(tmp_path, "karpathy_val", row(answers=[{"answer": "net"}]))
    annotate(tmp_path, 1)
    assert read(tmp_path, "val")[0]["answers"] == [{"answer": "net"}]


def test_a_question_whose_answers_are_all_rare_is_learned_from_what_people_said(tmp_path):
    write(tmp_path, "karpathy_train", row(label={}))
    annotate(tmp_path, 1)
    (given,) = read(tmp_path, "train")
    example = VQA().example(given)
    assert dict(example.targets) == {"net": 1.0, "bag": pytest.approx(0.9)}


def test_a_split_to_score_without_answers_is_an_error_that_names_the_files(tmp_path):
    write(tmp_path, "karpathy_test", row())
    with pytest.raises(ValueError, match="row 1: question_id 1 has neither 'answers'.*annotations.json"):
        read(tmp_path, "test")
    assert len(read(tmp_path, "test", unanswered=True)) == 1


def test_a_test_split_of_the_server_is_read_when_asked_for(tmp_path):
    write(tmp_path, "test_4", row(label=..., img_id="COCO_test2015_000000000007"))
    (given,) = read(tmp_path, "submit", unanswered=True)
    assert given["images"][0].path == "test2015/COCO_test2015_000000000007.jpg"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_id": "7"}, "'img_id' must read COCO_train2014_000000458752, got '7'"),
        ({"question_id": "1"}, "'question_id' must be a whole number"),
        ({"sent": ...}, "the field 'sent' is missing"),
        ({"label": {"net": -1}}, "'label' gives 'net' the score -1"),
        ({"answers": ["net"]}, "answer 1: expected an object"),
    ],
)
def test_a_bad_row_names_file_and_row(tmp_path, changes, message):
    write(tmp_path, "karpathy_train", row(9), row(1, **changes))
    with pytest.raises(ValueError, match=f"karpathy_train.json, row 2.*{message}"):
        read(tmp_path, "train")


def test_a_question_comes_once(tmp_path):
    write(tmp_path, "karpathy_train", row(), row())
    with pytest.raises(ValueError, match="row 2: question_id 1 was used before, in .*row 1"):
        read(tmp_path, "train")
