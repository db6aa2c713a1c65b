from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from data_modules.formats.shapes import Shapes
from data_modules.scenes import shapes
from data_modules.scenes.shapes_training import DrawnTraining

QUERIES = ["(is red circle)", "(is blue (above red))", "(is square (left_of (below green)))"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "train.large.queries_unique.txt").write_text("\n".join(QUERIES) + "\n")
    shapes.write_split(
        folder, "val", ["(is red (above red))"], seed=9, pictures_per_question=3, balanced=False
    )
    return folder


def reader(tmp_path: Path, **settings: object) -> DrawnTraining:
    return DrawnTraining(Shapes(), str(tmp_path / "cache"), pictures_per_question=6, **settings)  # type: ignore[arg-type]


def test_questions_without_pictures_are_asked_of_drawn_ones(root: Path, tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        rows = [row for row, _ in reader(tmp_path).rows(root, "train.large")]
    assert len(rows) == 18 and {row["query"] for row in rows} == set(QUERIES)
    assert "GENERATED" in caplog.text and "3 questions" in caplog.text
    image = rows[4]["images"][0]
    assert image.bgr and image.index == 4
    assert np.load(image.path)[image.index].shape == (30, 30, 3)
    assert sorted(path.name for path in root.iterdir() if "train" in path.name) == [
        "train.large.queries_unique.txt"
    ]


def test_a_drawing_is_made_once(root: Path, tmp_path: Path) -> None:
    first = [row for row, _ in reader(tmp_path).rows(root, "train.large")]
    made = Path(first[0]["images"][0].path).stat().st_mtime_ns
    again = [row for row, _ in reader(tmp_path).rows(root, "train.large")]
    assert again == first and Path(again[0]["images"][0].path).stat().st_mtime_ns == made
    assert len(list((tmp_path / "cache").iterdir())) == 1
    other = next(row for row, _ in reader(tmp_path, seed=1).rows(root, "train.large"))
    assert other["images"] != first[0]["images"]


def test_splits_with_pictures_are_read_as_they_are(root: Path, tmp_path: Path) -> None:
    drawn = reader(tmp_path)
    assert list(drawn.rows(root, "val")) == list(Shapes().rows(root, "val"))
    assert not (tmp_path / "cache").exists()
    assert drawn.splits(root) == ("val", "train.large")


def test_whole_grammar_leaves_out_what_other_splits_ask(root: Path, tmp_path: Path) -> None:
    rows = reader(tmp_path, whole_grammar=True).rows(root, "train.large")
    asked = {row["query"] for row, _ in rows}
    assert len(asked) == 36 + 144 + 576 - 1 and "(is red (above red))" not in asked
    assert set(QUERIES) <= asked


def test_broken_question_is_named_by_file_and_row(root: Path, tmp_path: Path) -> None:
    (root / "train.large.queries_unique.txt").write_text("(is red circle)\n(is red hexagon)\n")
    with pytest.raises(ValueError, match=r"train\.large\.queries_unique\.txt, row 2: .*hexagon"):
        list(reader(tmp_path).rows(root, "train.large"))
    assert not (tmp_path / "cache").exists()


def test_unknown_split_is_an_error_of_the_official_reader(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="test"):
        list(reader(tmp_path).rows(root, "test"))


def test_real_training_questions_make_the_training_split(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "shapes"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    drawn = DrawnTraining(Shapes(), str(tmp_path), pictures_per_question=2)
    train = {row["query"] for row, _ in drawn.rows(folder, "train.large")}
    val = {row["query"] for row, _ in drawn.rows(folder, "val")}
    assert len(train) == 212 and len(val) == 16 and not train & val
