"""Rows and ids of files: what is read, and what a fault is called."""

from __future__ import annotations

import pytest

from vl_dora.benchmarks.csv_rows import pairs_of
from vl_dora.benchmarks.files import answers_of, by_id, first_of, id_of, matched, rows_of, values_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.json", [{"id": 1}, {"id": 2}]),
        ("a.jsonl", [{"id": 1}, {"id": 2}]),
        ("a.json", {"info": 0, "annotations": [{"id": 1}, {"id": 2}]}),
        ("a.json", {"data": [{"id": 1}, {"id": 2}]}),
        ("a.json", '{"id": 1}\n\n{"id": 2}\n'),
    ],
)
def test_rows_stand_in_a_list_alone_or_named_or_in_lines(write, name, value):
    rows = rows_of(write(name, value), "references")
    assert [row for row, _ in rows] == [{"id": 1}, {"id": 2}]
    assert "row" in rows[1][1]


def test_a_single_line_is_one_row(write):
    assert rows_of(write("a.jsonl", [{"id": 1}]), "references")[0][0] == {"id": 1}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "references=.* is empty"),
        ('{"id": 1}\n{"id": ', "row|line 2, column 8: not JSON"),
        ("[1, 2]", "row 1: expected an object"),
        ('"a"', "list of rows, got str"),
        ('{\n"a": 1}', "must hold a list of rows"),
    ],
)
def test_a_file_without_rows_is_an_error_that_names_it(write, value, said):
    with pytest.raises(ValueError, match=said):
        rows_of(write("a.json", value), "references")


def test_a_missing_file_or_a_folder_is_named_with_its_option(tmp_path):
    with pytest.raises(FileNotFoundError, match="predictions=.*nowhere does not exist"):
        rows_of(tmp_path / "nowhere", "predictions")
    with pytest.raises(FileNotFoundError, match="choices=.* is a folder"):
        values_of(tmp_path, "choices")


def test_bytes_that_are_no_utf8_are_an_error(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(ValueError, match="not UTF-8"):
        rows_of(path, "predictions")


def test_an_id_twice_in_an_object_is_counted_and_named(write):
    with pytest.raises(ValueError, match=r"2 ids \(7, 8\) more than once"):
        values_of(write("a.json", '{"7": 1, "8": 2, "7": 3, "8": 1}'), "predictions")


def test_an_id_twice_in_rows_is_counted_and_named():
    rows = [({"id": n % 2}, "w") for n in range(6)]
    with pytest.raises(ValueError, match=r"predictions=p: 2 ids \(0, 1\) more than once"):
        by_id(rows, lambda row, where: id_of(row, ("id",), where), "predictions=p")


def test_missing_and_foreign_ids_are_counted_and_named():
    with pytest.raises(ValueError, match=r"2 of 3 ids \(b, c\) without .* and 1 id \(x\) not among"):
        matched({"a": 1, "x": 2}, ["a", "b", "c"], files=("p", "r"))
    many = [str(n) for n in range(9)]
    with pytest.raises(ValueError, match=r"9 of 9 ids \(0, 1, 2, 3, 4, \.\.\.\)"):
        matched({}, many, files=("p", "r"))
    with pytest.raises(ValueError, match="holds nothing to score"):
        matched({}, [], files=("p", "r"))


def test_pairing_follows_the_references_and_not_the_order_of_the_file():
    assert matched({"b": 2, "a": 1}, ["a", "b"], files=("p", "r")) == [1, 2]


@pytest.mark.parametrize("value", [{"1": "x"}, [{"question_id": 1, "answer": "x"}]])
def test_answers_stand_in_rows_or_in_one_object(write, value):
    assert answers_of(write("a.json", value), ("question_id",), ("answer",)) == {"1": "x"}


def test_an_id_is_text_or_a_whole_number(write):
    assert id_of({"qid": 7}, ("id", "qid"), "w") == "7"
    with pytest.raises(ValueError, match="w: none of the fields id, qid is there; fields there: a"):
        id_of({"a": 1}, ("id", "qid"), "w")
    with pytest.raises(ValueError, match="must be a whole number or a text, got True"):
        id_of({"id": True}, ("id",), "w")


def test_a_field_of_one_name_is_missed_by_that_name():
    with pytest.raises(ValueError, match="w: the field 'answer' is missing; fields there: id, said"):
        first_of({"id": 1, "said": 2}, ("answer",), "w")


def test_csv_rows_are_pairs(write):
    assert pairs_of(write("a.csv", "x,True\n\ny, false\n")) == {"x": "True", "y": "false"}
    assert pairs_of(write("a.json", {"x": "True"})) == {"x": "True"}
    with pytest.raises(ValueError, match="the answer to x must be a text, got True"):
        pairs_of(write("a.json", {"x": True}))
    with pytest.raises(ValueError, match="row 2: expected id,answer, got 'y'"):
        pairs_of(write("a.csv", "x,True\ny\n"))
    with pytest.raises(ValueError, match=r"1 id \(x\) more than once"):
        pairs_of(write("a.csv", "x,True\nx,False\n"))
