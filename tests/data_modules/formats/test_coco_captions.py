"""The reader of Karpathy's COCO file."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import CocoCaptions


def image(number: int, split: str, *captions: str) -> dict:
    return {
        "filepath": "val2014",
        "filename": f"COCO_val2014_{number:012d}.jpg",
        "split": split,
        "imgid": number,
        "cocoid": number,
        "sentids": [number * 10 + k for k in range(len(captions))],
        "sentences": [
            {"raw": text, "tokens": text.split(), "imgid": number, "sentid": number * 10 + k}
            for k, text in enumerate(captions)
        ],
    }


def write(root, *images):
    (root / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))


@pytest.fixture
def root(tmp_path):
    write(
        tmp_path,
        image(4, "test", "A dog.", "One dog. "),
        image(2, "restval", "A cat.", "Cats."),
        image(1, "train", "A tree."),
        image(3, "val", "A bus."),
    )
    return tmp_path


def read(root, split, **fields):
    return [row for row, _ in CocoCaptions(**fields).rows(root, split)]


def test_training_has_a_row_a_caption_of_train_and_restval(root):
    rows = read(root, "train")
    assert [(r["image_id"], r["caption_id"], r["captions"]) for r in rows] == [
        (2, 20, ["A cat."]),
        (2, 21, ["Cats."]),
        (1, 10, ["A tree."]),
    ]


def test_evaluation_has_a_row_a_picture_with_all_its_captions(root):
    (row,) = read(root, "test")
    assert row["captions"] == ["A dog.", "One dog."] and "caption_id" not in row
    assert [r["captions"] for r in read(root, "train:pictures")] == [["A cat.", "Cats."], ["A tree."]]


def test_split_words_are_those_of_the_file(root):
    assert CocoCaptions().splits(root) == ("train", "val", "test", "train:pictures")
    write(root, image(3, "val", "A bus."))
    assert CocoCaptions().splits(root) == ("val",)
    (root / "dataset_coco.json").rename(root / "other.json")
    assert CocoCaptions().splits(root) == ()


def test_pictures_are_looked_for_in_several_folders(root):
    (row,) = read(root, "test")
    assert row["images"][0].path == "val2014/COCO_val2014_000000000004.jpg"
    (root / "images" / "val2014").mkdir(parents=True)
    (root / "images" / "val2014" / "COCO_val2014_000000000004.jpg").write_bytes(b"")
    (row,) = read(root, "test")
    assert row["images"][0].path == "images/val2014/COCO_val2014_000000000004.jpg"


def test_an_unknown_split_word_lists_those_allowed(root):
    with pytest.raises(ValueError, match="split 'dev' is not in .*; allowed: train, val, test"):
        read(root, "dev")
    with pytest.raises(FileNotFoundError, match="dataset_coco.json, which is missing"):
        read(root / "..", "train")


def test_bad_images_and_sentences_name_file_and_row(root):
    cases = [
        ({"split": "dev"}, "'split' must be one of restval, test, train, val, got 'dev'"),
        ({"cocoid": "4"}, "'cocoid' must be a whole number"),
        ({"filename": "picture"}, "'filename' must be a picture's name"),
        ({"sentences": []}, "'sentences' is an empty list"),
        ({"sentences": [{"raw": " ", "sentid": 1}]}, "sentence 1: 'raw' is an empty caption"),
        ({"sentences": [{"raw": "a", "sentid": 1}] * 2}, "sentence 2: sentid 1 was used before"),
    ]
    for changes, message in cases:
        write(root, image(3, "val", "A bus."), {**image(4, "test", "A dog."), **changes})
        with pytest.raises(ValueError, match=f"dataset_coco.json, row 2.*{message}"):
            read(root, "test")


def test_a_picture_comes_once(root):
    write(root, image(3, "val", "A bus."), image(3, "test", "A bus."))
    with pytest.raises(ValueError, match="row 2: cocoid 3 was used before"):
        read(root, "test")
