"""The POPE reader: questions find their labels by category, picture and text, never by line."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import POPE
from vl_dora.batch import ImageRef

END = "\nAnswer the question using a single word or phrase."


def lines(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def labels(root, category, *things):
    """Things as (picture, thing, label)."""
    rows = [
        {"question_id": n, "image": image, "text": f"Is there a {thing} in the image?", "label": label}
        for n, (image, thing, label) in enumerate(things, start=1)
    ]
    lines(root / "coco" / f"coco_pope_{category}.json", rows)


def asked(root, *questions):
    """Questions as (number, category, picture, thing)."""
    rows = [
        {
            "question_id": n,
            "image": image,
            "text": f"Is there a {thing} in the image?{END}",
            "category": category,
        }
        for n, category, image, thing in questions
    ]
    lines(root / "llava_pope_test.jsonl", rows)


@pytest.fixture
def root(tmp_path):
    labels(tmp_path, "adversarial", ("a.jpg", "cup", "no"))
    labels(tmp_path, "random", ("a.jpg", "dog", "yes"), ("a.jpg", "cup", "no"))
    return tmp_path


def read(root, split="test", **fields):
    return [row for row, _ in POPE(**fields).rows(root, split)]


def test_labels_are_found_whatever_the_order_and_the_numbers(root):
    asked(
        root,
        (31, "random", "a.jpg", "cup"),
        (32, "adversarial", "a.jpg", "cup"),
        (33, "random", "a.jpg", "dog"),
    )
    rows = read(root)
    assert [(row["question_id"], row["label"]) for row in rows] == [(31, "no"), (32, "no"), (33, "yes")]
    assert [row["category"] for row in rows] == ["random", "adversarial", "random"]
    assert rows[0]["text"].endswith(END) and rows[0]["images"] == (ImageRef("val2014/a.jpg"),)


def test_label_files_alone_get_the_same_prompt_and_one_numbering(root):
    rows = read(root)
    assert [row["question_id"] for row in rows] == [1, 2, 3]
    assert rows[0]["text"] == f"Is there a dog in the image?{END}" and rows[2]["category"] == "adversarial"


def test_a_category_is_a_split_of_its_own(root):
    asked(
        root,
        (31, "random", "a.jpg", "cup"),
        (32, "adversarial", "a.jpg", "cup"),
        (33, "random", "a.jpg", "dog"),
    )
    assert POPE().splits(root) == ("test", "random", "adversarial")
    assert [row["question_id"] for row in read(root, "adversarial")] == [32]
    with pytest.raises(
        FileNotFoundError, match=r"coco_pope_popular.json, which is missing; splits there: test"
    ):
        read(root, "popular")


def test_questions_and_labels_without_counterpart_are_counted_and_named(root):
    asked(
        root, (31, "random", "a.jpg", "cup"), (32, "random", "a.jpg", "cat"), (33, "random", "a.jpg", "dog")
    )
    with pytest.raises(ValueError, match="1 question without an annotation in .*coco: .*row 2"):
        read(root)
    asked(root, (31, "random", "a.jpg", "cup"))
    with pytest.raises(
        ValueError, match="2 annotations without a question in .*set data.files.unasked=ignore"
    ):
        read(root)
    assert len(read(root, unasked="ignore")) == 1


def test_a_label_and_a_category_must_be_there(root):
    labels(root, "random", ("a.jpg", "dog", "maybe"))
    with pytest.raises(
        ValueError, match="coco_pope_random.json, row 1: 'label' must be yes or no, got 'maybe'"
    ):
        read(root)
    labels(root, "random", ("a.jpg", "dog", "yes"))
    lines(root / "llava_pope_test.jsonl", [{"question_id": 1, "image": "a.jpg", "text": "Is there?"}])
    with pytest.raises(ValueError, match="row 1: the field 'category' is missing"):
        read(root)
