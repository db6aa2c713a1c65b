"""The NLVR2 reader against small folders in the official layout and in VL-Adapter's."""

from __future__ import annotations

import json

import pytest

from data_modules.formats import NLVR2


def row(identifier: str = "dev-1-0-0", label: str = "True", **changes) -> dict:
    given = {"identifier": identifier, "sentence": "There are dogs.", "label": label, "left_url": "https://"}
    return {k: v for k, v in {**given, **changes}.items() if v is not ...}


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(given)}\n" for given in rows))


def read(root, split, **fields):
    return [given for given, _ in NLVR2(**fields).rows(root, split)]


def paths(given):
    return [image.path for image in given["images"]]


def test_a_row_has_the_left_picture_and_the_right_one(tmp_path):
    write(tmp_path / "dev.json", row("dev-850-3-1", "false"))
    (tmp_path / "dev").mkdir()
    for k in (0, 1):
        (tmp_path / "dev" / f"dev-850-3-img{k}.png").write_bytes(b"")
    (given,) = read(tmp_path, "val")
    assert paths(given) == ["dev/dev-850-3-img0.png", "dev/dev-850-3-img1.png"]
    assert given["label"] == "False" and given["sentence"] == "There are dogs."


def test_train_pictures_lie_in_numbered_folders(tmp_path):
    write(tmp_path / "train.json", row("train-10171-0-0", directory=57))
    folder = tmp_path / "images" / "train" / "57"
    folder.mkdir(parents=True)
    (folder / "train-10171-0-img0.png").write_bytes(b"")
    (given,) = read(tmp_path, "train")
    assert paths(given)[0] == "images/train/57/train-10171-0-img0.png"


def test_the_subsets_of_a_split_are_told_by_their_files(tmp_path):
    write(tmp_path / "dev.json", row("dev-1-0-0"), row("dev-1-1-0"), row("dev-2-0-0"))
    write(tmp_path / "balanced" / "balanced_dev.json", row("dev-1-0-0"))
    write(tmp_path / "unbalanced" / "unbalanced_dev.json", row("dev-2-0-0"))
    assert [given.get("subset") for given in read(tmp_path, "val")] == ["balanced", None, "unbalanced"]


def test_split_words_are_those_of_the_folder(tmp_path):
    write(tmp_path / "train.json", row("train-1-0-0"))
    write(tmp_path / "test1.json", row("test1-1-0-0"))
    assert NLVR2().splits(tmp_path) == ("train", "test", "test1")
    with pytest.raises(FileNotFoundError, match="split 'val' needs the file .*; splits there: train"):
        read(tmp_path, "val")


def test_vl_adapters_lists_are_read_by_the_same_words(tmp_path):
    given = {"identifier": "dev-5-1-0", "img0": "dev-5-1-img0", "img1": "dev-5-1-img1", "label": 0}
    (tmp_path / "valid.json").write_text(json.dumps([{**given, "sent": "There are dogs.", "uid": "nlvr2_1"}]))
    (tmp_path / "train.json").write_text(
        json.dumps([{**given, "identifier": "train-5-1-0", "sent": "Dogs."}])
    )
    assert NLVR2().splits(tmp_path) == ("train", "val", "dev")
    (one,) = read(tmp_path, "val")
    assert one["label"] == "False" and one["sentence"] == "There are dogs."
    assert [path.rsplit("/", 1)[1] for path in paths(one)] == ["dev-5-1-img0.jpg", "dev-5-1-img1.jpg"]


def test_rows_without_a_label_are_an_error_unless_asked_for(tmp_path):
    write(tmp_path / "test1.json", row(label=...))
    with pytest.raises(ValueError, match="test1.json, row 1: the field 'label' is missing"):
        read(tmp_path, "test")
    assert "label" not in read(tmp_path, "test", unanswered=True)[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (row("dev-1-0"), "must read split-set-pair-sentence .*got 'dev-1-0'"),
        (row("dev-x-0-0"), "must read split-set-pair-sentence"),
        (row(label="maybe"), "'label' must be True or False, got 'maybe'"),
        (row(sentence=3), "'sentence' must be a text"),
    ],
)
def test_a_bad_row_names_file_and_row(tmp_path, given, message):
    write(tmp_path / "dev.json", row("dev-9-0-0"), given)
    with pytest.raises(ValueError, match=f"dev.json, row 2: .*{message}"):
        read(tmp_path, "val")


@pytest.mark.parametrize("changes", [{"label": 2}, {"label": "True"}, {"img1": ...}, {"identifier": "a"}])
def test_a_bad_row_of_a_list_names_file_and_row(tmp_path, changes):
    given = {"identifier": "dev-5-1-0", "img0": "a", "img1": "b", "label": 1, "sent": "Dogs.", **changes}
    (tmp_path / "valid.json").write_text(json.dumps([{k: v for k, v in given.items() if v is not ...}]))
    with pytest.raises(ValueError, match="valid.json, row 1: "):
        read(tmp_path, "val")


def test_an_identifier_comes_once(tmp_path):
    write(tmp_path / "dev.json", row(), row())
    with pytest.raises(ValueError, match="row 2: identifier 'dev-1-0-0' was used before, in .*row 1"):
        read(tmp_path, "val")
