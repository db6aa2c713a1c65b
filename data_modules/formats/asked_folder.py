"""A folder of pictures and questions about them, without answers.

questions.jsonl     {"question_id": "1", "image": "cat.jpg", "text": "What is the cat doing?"}, a line each;
                    "image" may be left out, or be a list of several
cat.jpg             pictures, by their paths below the folder
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, first_seen, json_lines, split_file, take
from vl_dora.batch import ImageRef


@dataclass(frozen=True)
class AskedFolder:
    """Reads the questions; every file *.jsonl is a split by its name without .jsonl."""

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The questions in file order: question_id, asked_id, text and images.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: a row is not as expected, or an id is there twice.
        """
        path = split_file(root, f"{split}.jsonl", split, self.splits(root))
        seen: dict[str, str] = {}
        for row, where in json_lines(path):
            number = row.get("question_id")
            if isinstance(number, bool) or not isinstance(number, int | str):
                take(row, "question_id", str, where)  # says what is wrong with it
            first_seen(seen, str(number), "question_id", where)
            if not take(row, "text", str, where).strip():
                raise ValueError(f"{where}: 'text' is empty; expected a question")
            images = tuple(ImageRef(name) for name in _names(row, where))
            yield {**row, "asked_id": number, "images": images}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The names of the files of questions."""
        return tuple(sorted(path.stem for path in data_root(root).glob("*.jsonl")))


def _names(row: dict[str, Any], where: str) -> list[str]:
    given = row.get("image")
    names = [] if given is None else given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{where}: 'image' must be the path of a picture, or a list of them, got {given!r}")
    return names
