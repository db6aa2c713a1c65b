"""MMBench: multiple choice about pictures, pictures in the table (Liu et al. 2023, arXiv:2307.06281).

    mmbench_dev_20230712.tsv    index, question, hint, A, B, C, D, answer, category, image, source,
                                l2-category, comment, split: columns by name, in any order

`image` is the picture file in base64, or the index of a row that holds it. A question whose options are also
asked in other orders (circular evaluation) has further rows, whose index is its own plus a multiple of
1,000,000. The prompt is LLaVA's: hint, question, the options that are there, the instruction to answer with a
letter (Chinese where the file's name has `_cn`). Pictures are written once into a cache folder.
"""

from __future__ import annotations

import base64
import binascii
import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, first_seen
from data_modules.formats.llava_questions import LETTER, instructed
from data_modules.inlaid import InlaidPictures
from vl_dora.batch import ImageRef

OPTIONS = ("A", "B", "C", "D")
LETTER_CN = "请直接回答选项字母。"
_NAME = re.compile(r"(?:mmbench_)?(.+)\.tsv", re.IGNORECASE)
_ABSENT = ("", "nan", "none")


@dataclass(frozen=True)
class MMBench:
    """Reads the table.

    Args:
        cache_dir: where the pictures are written; usually `paths.cache_dir`.
    """

    cache_dir: str = "~/.cache/vl_dora"

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The rows of `mmbench_<split>.tsv`, in file order.

        A row holds question_id and asked_id (the index, int), text, images (one, by its absolute path),
        options (the texts that are there), answer (a letter, or None where it is not public), category,
        l2_category, and `columns`, the table's own texts but the picture.

        Raises:
            FileNotFoundError: the table is missing.
            ValueError: the table or a row is not as expected, or the cache folder cannot be written to.
        """
        path = self._tables(root).get(split)
        if path is None:
            raise FileNotFoundError(
                f"split {split!r} needs the file {Path(root) / f'mmbench_{split}.tsv'}, which is missing; "
                f"splits there: {', '.join(self.splits(root)) or 'none'}"
            )
        instruction = LETTER_CN if "_cn" in path.stem.lower() else LETTER
        pictures = InlaidPictures(Path(self.cache_dir) / "mmbench_pictures")
        places: dict[int, ImageRef] = {}
        found: list[tuple[dict[str, Any], str, int]] = []
        seen: dict[int, str] = {}
        for columns, where in _table(path):
            image = columns.pop("image").strip()
            row = _row(columns, where, instruction)
            first_seen(seen, row["question_id"], "index", where)
            if not image.isdigit():
                places[row["question_id"]] = pictures.add(_bytes(image, where))
            found.append((row, where, int(image) if image.isdigit() else row["question_id"]))
        if not found:
            raise ValueError(f"{path} holds no row below its head")
        for row, where, index in found:
            if index not in places:
                raise ValueError(f"{where}: 'image' names the row of index {index}, which holds no picture")
            yield {**row, "images": (places[index],)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The names of the tables in the folder, without mmbench_ and .tsv."""
        return tuple(self._tables(root))

    def _tables(self, root: Path) -> dict[str, Path]:
        files = sorted(path for path in data_root(root).iterdir() if path.is_file())
        return {m[1]: path for path in files if (m := _NAME.fullmatch(path.name))}


def _table(path: Path) -> Iterator[tuple[dict[str, str], str]]:
    """The table's rows as column -> text."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, delimiter="\t")
            head = next(reader, [])
            missing = [name for name in ("index", "question", "A", "B", "image") if name not in head]
            if missing:
                raise ValueError(
                    f"{path}: the column {missing[0]!r} is missing; columns there: {', '.join(head)}"
                )
            for number, cells in enumerate(reader, start=2):
                where = f"{path}, row {number}"
                if len(cells) != len(head):
                    raise ValueError(f"{where}: {len(cells)} cells, but the table has {len(head)} columns")
                yield dict(zip(head, cells, strict=True)), where
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason})") from error
    except csv.Error as error:
        raise ValueError(f"{path}: not a table of tab-separated values ({error})") from error
    finally:
        csv.field_size_limit(limit)


def _row(columns: dict[str, str], where: str, instruction: str) -> dict[str, Any]:
    if not columns["index"].isdigit():
        raise ValueError(f"{where}: 'index' must be a whole number, got {columns['index']!r}")
    options = []
    for letter in OPTIONS:
        if _absent(columns.get(letter, "")):
            break
        options.append(columns[letter])
    if len(options) < 2:
        raise ValueError(f"{where}: a question needs the options A and B at least")
    answer = columns.get("answer", "")
    letters = OPTIONS[: len(options)]
    if not _absent(answer) and answer not in letters:
        raise ValueError(f"{where}: 'answer' must be one of {', '.join(letters)}, got {answer!r}")
    hint = columns.get("hint", "")
    question = columns["question"] if _absent(hint) else f"{hint}\n{columns['question']}"
    lines = [f"{letter}. {option}" for letter, option in zip(letters, options, strict=True)]
    index = int(columns["index"])
    return {
        "question_id": index,
        "asked_id": index,
        "text": instructed(question, *lines, instruction),
        "options": options,
        "answer": None if _absent(answer) else answer,
        "category": columns.get("category", ""),
        "l2_category": columns.get("l2-category", ""),
        "columns": dict(columns),
    }


def _absent(text: str) -> bool:
    """Whether a cell is empty, by the words that tables of numbers put there."""
    return text.strip().lower() in _ABSENT


def _bytes(text: str, where: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{where}: 'image' is no base64 ({error})") from None
    if not found:
        raise ValueError(f"{where}: 'image' is empty")
    return found
