"""The SHAPES reader: the real files where they are at hand, and small broken ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from data_modules.formats import Shapes
from vl_dora.batch import ImageRef


@pytest.fixture
def root(tmp_path):
    np.save(tmp_path / "val.input.npy", np.zeros((2, 30, 30, 3), np.uint8))
    (tmp_path / "val.query_str.txt").write_text("is red a circle\nis blue left of a square\n")
    (tmp_path / "val.query").write_text("(is red circle)\n(is blue (left_of square))\n")
    (tmp_path / "val.output").write_text("true\nfalse\n")
    return tmp_path


def read(root, split="val"):
    return [row for row, _ in Shapes().rows(root, split)]


def test_reads_the_real_validation_split(shared):
    rows = read(shared / "data" / "shapes")
    assert len(rows) == 1024
    assert Counter(row["output"] for row in rows) == {"true": 394, "false": 630}
    assert set(Counter(row["query_str"] for row in rows).values()) == {64}


def test_lists_the_splits_that_have_pictures(shared):
    assert Shapes().splits(shared / "data" / "shapes") == ("train.small", "train.tiny", "val")


def test_a_row_joins_the_four_files(root):
    row = read(root)[1]
    assert row["query_str"] == "is blue left of a square"
    assert row["query"] == "(is blue (left_of square))"
    assert row["output"] == "false"
    assert row["images"] == (ImageRef("val.input.npy", index=1, bgr=True),)


def test_the_logical_forms_may_be_absent(root):
    (root / "val.query").unlink()
    assert [row["query"] for row in read(root)] == [None, None]


@pytest.mark.parametrize("name", ["val.query_str.txt", "val.output", "val.input.npy"])
def test_the_other_files_may_not_be_absent(root, name):
    (root / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"split 'val' needs the file .*{name}"):
        read(root)


@pytest.mark.parametrize("name", ["val.query_str.txt", "val.output", "val.query"])
def test_files_of_different_lengths_are_named_with_their_counts(root, name):
    with (root / name).open("a") as file:
        file.write("true\n")
    with pytest.raises(ValueError, match=f"one row an item each, but hold: .*input.npy 2.*{name} 3"):
        read(root)


def test_a_line_other_than_true_or_false_is_named(root):
    (root / "val.output").write_text("true\nno\n")
    with pytest.raises(ValueError, match="val.output, row 2: expected true or false, got 'no'"):
        read(root)


def test_an_empty_question_is_named(root):
    (root / "val.query_str.txt").write_text("is red a circle\n\nis\n")
    (root / "val.output").write_text("true\ntrue\ntrue\n")
    (root / "val.query").unlink()
    np.save(root / "val.input.npy", np.zeros((3, 30, 30, 3), np.uint8))
    with pytest.raises(ValueError, match="val.query_str.txt, row 2: an empty line"):
        read(root)


def test_an_array_of_another_kind_is_named(root):
    np.save(root / "val.input.npy", np.zeros((2, 30, 30, 3), np.float32))
    with pytest.raises(
        ValueError, match=r"val.input.npy: expected uint8 pictures .*got float32 \(2, 30, 30, 3\)"
    ):
        read(root)


@pytest.mark.parametrize("size", [0, 40, 200])
def test_a_truncated_array_is_named(root, size):
    path = root / "val.input.npy"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="val.input.npy is not a complete .npy array"):
        read(root)
