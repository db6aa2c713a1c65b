"""The Cornell NLVR reader: the real files where they are at hand, and small broken ones."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from data_modules.formats import NLVRCornell
from data_modules.formats.nlvr_cornell import BOXES, is_held


def statement(identifier: str = "7-0", label: str = "true", **more) -> dict:
    sentence = "There are 2 yellow circles"
    return {"sentence": sentence, "label": label, "identifier": identifier, "directory": "44"} | more


def write(root, name, rows):
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(root, split, **fields):
    return [row for row, _ in NLVRCornell(**fields).rows(root, split)]


@pytest.fixture
def nlvr(shared):
    return shared / "data" / "nlvr"


def test_dev_is_989_statements_of_six_pictures_each(nlvr):
    rows = read(nlvr, "dev")
    assert len(rows) == 5934
    assert len({row["identifier"] for row in rows}) == 989
    assert Counter(row["label"] for row in rows) == {"true": 6 * 547, "false": 6 * 442}
    assert all((nlvr / row["images"][0].path).is_file() for row in rows)


def test_every_training_picture_is_named_as_it_lies_on_disk(nlvr):
    rows = read(nlvr, "train", weak_labels=True)
    assert Counter(row["label_source"] for row in rows) == {"official": 6000, "inferred_from_position": 2525}
    assert all((nlvr / row["images"][0].path).is_file() for row in rows)


def test_train_is_gold_only_unless_weak_labels_are_asked_for(nlvr):
    assert len(read(nlvr, "train")) == 6000


def test_fit_and_held_share_no_presentation_and_lose_no_row(nlvr):
    fit, held = read(nlvr, "train:fit"), read(nlvr, "train:held")
    assert len(fit) + len(held) == 6000
    presentations = [{row["presentation"] for row in part} for part in (fit, held)]
    assert not presentations[0] & presentations[1]
    assert 0.07 < len(presentations[1]) / 894 < 0.13


def test_weak_labels_of_held_presentations_stay_out_of_both_parts(nlvr):
    held = read(nlvr, "train:held", weak_labels=True)
    fit = read(nlvr, "train:fit", weak_labels=True)
    assert {row["label_source"] for row in held} == {"official"}
    assert held == read(nlvr, "train:held")
    assert not {row["presentation"] for row in fit} & {row["presentation"] for row in held}


def test_the_boxes_are_what_lies_between_the_grey_separators(nlvr):
    rows = read(nlvr, "dev")[::200] + read(nlvr, "train")[::200]
    background, separator = (211, 211, 211), (128, 128, 128)
    corners = Counter()
    for row in rows:
        with Image.open(nlvr / row["images"][0].path) as picture:
            pixels = np.array(picture.convert("RGB"))
        assert pixels.shape == (100, 400, 3)
        inside = np.zeros(400, dtype=bool)
        for image in row["images"]:
            left, top, right, bottom = image.crop
            assert (top, bottom, right - left) == (0, 100, 100)
            inside[left:right] = True
            corners[tuple(pixels[0, left]) == background and tuple(pixels[0, right - 1]) == background] += 1
        assert (pixels[:, ~inside] == separator).all()
        assert not (pixels[:, inside] == separator).all(axis=(0, 2)).any()
    # An object may touch a corner, so not every corner shows the background.
    assert corners[True] > 0.9 * sum(corners.values())


def test_the_three_images_of_a_row_are_the_boxes_of_one_picture(tmp_path):
    write(tmp_path, "dev/dev.json", [statement()])
    row = read(tmp_path, "dev")[3]
    assert {image.path for image in row["images"]} == {"dev/images/44/dev-7-0-3.png"}
    assert tuple(image.crop for image in row["images"]) == BOXES
    assert (row["picture"], row["permutation"], row["presentation"]) == ("dev-7-0-3.png", 3, "7")


def test_the_full_training_file_goes_before_gold_and_weak(tmp_path, caplog):
    write(tmp_path, "train/train.json", [statement("1-0")])
    write(tmp_path, "train/train_gold.json", [statement("2-0")])
    write(tmp_path, "train/train_inferred.json", [statement("3-0")])
    assert {row["identifier"] for row in read(tmp_path, "train", weak_labels=True)} == {"1-0"}
    assert "train_inferred.json is not read" in caplog.text


def test_any_other_word_names_its_own_folder(tmp_path):
    write(tmp_path, "test/test.json", [statement()])
    write(tmp_path, "mine/mine.json", [statement()])
    assert NLVRCornell().splits(tmp_path) == ("mine", "test")
    assert read(tmp_path, "mine", permutations=(0,))[0]["picture"] == "mine-7-0-0.png"


def test_the_real_folder_serves_dev_and_train_in_parts(nlvr):
    assert NLVRCornell().splits(nlvr) == ("dev", "train", "train:fit", "train:held")


def test_the_held_presentations_never_change():
    # Made with coreutils: `printf %s $n | sha256sum` for n = 0..59, hashes below 1999999999999999....
    assert [n for n in range(60) if is_held(str(n), 0.1)] == [9, 39, 49, 51, 55]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sentence": "x"}, "row 2: the field 'label' is missing; fields there: sentence"),
        (statement("8-0", label="maybe"), "row 2: 'label' must be true or false, got 'maybe'"),
        (statement("8-0", label=True), "row 2: 'label' must be a text, got true"),
        (statement("8"), "row 2: 'identifier' must read n-m"),
        (statement("7-0"), "row 2: identifier '7-0' was used before, in .*dev.json, row 1"),
        (statement("8-0", directory=44), "row 2: 'directory' must be a text, got 44"),
        ([1], r"row 2: expected an object \{...\}, got \[1\]"),
    ],
)
def test_an_unfit_row_is_named(tmp_path, row, message):
    write(tmp_path, "dev/dev.json", [statement(), row])
    with pytest.raises(ValueError, match="dev.json, " + message):
        read(tmp_path, "dev")


def test_a_line_that_is_not_json_is_reported_with_its_number(tmp_path):
    write(tmp_path, "dev/dev.json", [statement()])
    with (tmp_path / "dev" / "dev.json").open("a") as file:
        file.write("\n{oops}\n")
    with pytest.raises(ValueError, match="dev.json, line 3, column 2: not JSON"):
        read(tmp_path, "dev")


def test_a_missing_split_lists_those_that_are_there(tmp_path):
    write(tmp_path, "train/train_gold.json", [statement()])
    with pytest.raises(
        FileNotFoundError, match="split 'test' needs .*test.json.*splits there: train, train:fit"
    ):
        read(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match="train_inferred.json, which is missing"):
        read(tmp_path, "train", weak_labels=True)


def test_an_unknown_part_of_a_split_is_an_error(tmp_path):
    write(tmp_path, "train/train_gold.json", [statement()])
    with pytest.raises(ValueError, match="'train:odd': what follows the colon must be one of fit, held"):
        read(tmp_path, "train:odd")


def test_a_held_share_outside_zero_and_one_is_an_error():
    with pytest.raises(ValueError, match="data.files.held_share=1 must lie between 0 and 1"):
        NLVRCornell(held_share=1)
