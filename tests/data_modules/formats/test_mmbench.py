"""The MMBench reader: a table whose pictures become files in a cache folder, once."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from data_modules.formats import MMBench
from data_modules.visuals import load_picture

HEAD = (
    "index",
    "question",
    "hint",
    "A",
    "B",
    "C",
    "D",
    "answer",
    "category",
    "image",
    "source",
    "l2-category",
)
END = "Answer with the option's letter from the given choices directly."


def picture(shade: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), (shade, 0, 0)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def row(number, **changes) -> dict[str, str]:
    given = {
        "index": str(number),
        "question": "Which one?",
        "hint": "",
        "A": "a leaf",
        "B": "a stone",
        "C": "",
        "D": "nan",
        "answer": "B",
        "category": "object",
        "image": picture(9),
        "source": "drawn",
        "l2-category": "perception",
    }
    return {**given, **changes}


def table(root, *rows, name="mmbench_dev_20230712.tsv", head=HEAD):
    lines = ["\t".join(head), *("\t".join(one[column] for column in head) for one in rows)]
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(root, split="dev_20230712"):
    return [found for found, _ in MMBench(cache_dir=str(root / "cache")).rows(root, split)]


def test_a_row_is_asked_with_hint_options_and_the_instruction(tmp_path):
    table(tmp_path, row(7, hint="Look.", C="a cup"), row(8, answer=""))
    first, second = read(tmp_path)
    assert first["text"] == f"Look.\nWhich one?\nA. a leaf\nB. a stone\nC. a cup\n{END}"
    assert second["text"] == f"Which one?\nA. a leaf\nB. a stone\n{END}"
    assert (first["question_id"], first["answer"], second["answer"]) == (7, "B", None)
    assert first["l2_category"] == "perception" and first["options"] == ["a leaf", "a stone", "a cup"]
    assert list(first["columns"]) == [name for name in HEAD if name != "image"]


def test_pictures_become_files_once_and_the_same_bytes_are_one_file(tmp_path):
    table(tmp_path, row(1), row(2, image=picture(200)), row(3))
    paths = [one["images"][0].path for one in read(tmp_path)]
    assert paths[0] == paths[2] != paths[1] and Path(paths[0]).suffix == ".png"
    shown = load_picture(tmp_path, read(tmp_path)[1]["images"][0], None)
    assert shown.shape == (3, 4, 5) and shown[0].min() == shown[0].max() == 200
    before = Path(paths[0]).stat().st_mtime_ns
    read(tmp_path)
    assert Path(paths[0]).stat().st_mtime_ns == before
    assert len(list((tmp_path / "cache" / "mmbench_pictures").iterdir())) == 2


def test_a_row_may_name_the_row_that_holds_its_picture(tmp_path):
    table(tmp_path, row(1_000_007, image="7"), row(7))
    one, other = read(tmp_path)
    assert one["images"] == other["images"]
    table(tmp_path, row(1, image="7"), row(8))
    with pytest.raises(ValueError, match="row 2: 'image' names the row of index 7, which holds no picture"):
        read(tmp_path)


def test_chinese_tables_are_asked_in_chinese(tmp_path):
    table(tmp_path, row(1, question="哪一个?"), name="mmbench_dev_cn_20231003.tsv")
    assert MMBench().splits(tmp_path) == ("dev_cn_20231003",)
    assert read(tmp_path, "dev_cn_20231003")[0]["text"].endswith("B. a stone\n请直接回答选项字母。")


def test_quoted_cells_may_hold_tabs_and_line_ends(tmp_path):
    table(tmp_path, row(1, question='"one\ttwo\nthree ""x"""'))
    assert read(tmp_path)[0]["columns"]["question"] == 'one\ttwo\nthree "x"'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": "one"}, "row 2: 'index' must be a whole number, got 'one'"),
        ({"B": ""}, "row 2: a question needs the options A and B at least"),
        ({"answer": "C"}, "row 2: 'answer' must be one of A, B, got 'C'"),
        ({"image": "!!"}, "row 2: 'image' is no base64"),
        ({"image": ""}, "row 2: 'image' is empty"),
        ({"question": "a\tb"}, "row 2: 13 cells, but the table has 12 columns"),
    ],
)
def test_a_bad_row_names_file_and_row(tmp_path, changes, message):
    table(tmp_path, row(1, **changes))
    with pytest.raises(ValueError, match="mmbench_dev_20230712.tsv") as error:
        read(tmp_path)
    assert message in str(error.value)


def test_a_doubled_index_a_missing_column_and_a_missing_table_are_errors(tmp_path):
    table(tmp_path, row(1), row(1))
    with pytest.raises(ValueError, match="row 3: index 1 was used before"):
        read(tmp_path)
    table(tmp_path, row(1), head=HEAD[:-3])
    with pytest.raises(ValueError, match="the column 'image' is missing; columns there: index, question"):
        read(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"mmbench_test.tsv, which is missing; splits there: dev_20230712"
    ):
        read(tmp_path, "test")


def test_a_cache_folder_that_cannot_be_made_names_its_key(tmp_path):
    table(tmp_path, row(1))
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ValueError, match=r"paths.cache_dir: .* cannot be written to"):
        read(tmp_path)
