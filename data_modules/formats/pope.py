"""POPE: is a thing in the picture? (Li et al. 2023, arXiv:2305.10355), as LLaVA asks it.

    llava_pope_test.jsonl                 LLaVA's questions (`playground/data/eval/pope`), numbered through;
                                          `category` is random, popular or adversarial
    coco/coco_pope_random.json            {"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text":
                                          "Is there a snowboard in the image?", "label": "yes"}, a line each;
                                          likewise popular and adversarial, each counting from 1
    val2014/COCO_val2014_000000310196.jpg

The files are joined by category, picture and question. Where LLaVA's file is not there, the same prompts are
made of the label files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, json_lines, take
from data_modules.formats.llava_pictures import NamedPictures
from data_modules.formats.llava_questions import (
    SHORT_ANSWER,
    Placed,
    instructed,
    paired,
    question_of,
    question_rows,
)

_LABELS = re.compile(r".*pope_([a-z]+)\.jsonl?")
_ASKED = "llava_pope_test.jsonl"
CATEGORIES = ("random", "popular", "adversarial")


@dataclass(frozen=True)
class POPE:
    """Reads LLaVA's question file joined with the label files.

    Args:
        label_folders: where the label files lie below the data folder, the first that has any; "": itself.
        picture_folders: where pictures are looked for, the first that has it.
        unasked: what becomes of labels that LLaVA's file does not ask for: raise or ignore. Its 8,910
            questions are those of the first release, whose category random was 90 questions smaller.
    """

    label_folders: tuple[str, ...] = ("coco", "")
    picture_folders: tuple[str, ...] = ("val2014",)
    unasked: str = "raise"

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The questions of `test`, or of the one category that `split` names.

        A row holds question_id, asked_id, category, text, image, images and label (yes or no).

        Raises:
            FileNotFoundError: no label files.
            ValueError: a file or row is not as expected, or the files do not belong together.
        """
        root = data_root(root)
        folder = self._labelled(root)
        if split not in self.splits(root) or folder is None:
            needed = root / self.label_folders[0] / f"coco_pope_{'random' if split == 'test' else split}.json"
            raise FileNotFoundError(
                f"split {split!r} needs the file {needed}, which is missing; splits there: "
                f"{', '.join(self.splits(root)) or 'none'}"
            )
        categories = [c for c in _label_files(root / folder) if split in ("test", c)]
        labels = [one for c in categories for one in _labels(_label_files(root / folder)[c], c)]
        pictures = NamedPictures(root, self.picture_folders)
        path = root / _ASKED
        if path.is_file():
            asked = [
                (row, where) for row, where in question_rows(path) if _of_category(row, where, categories)
            ]
            rows = [
                ({**known, **row}, where)
                for row, where, known in paired(
                    asked, labels, _key, _key, files=(path, root / folder), unasked=self.unasked
                )
            ]
        else:
            rows = [
                (
                    {**row, "text": instructed(row["text"], SHORT_ANSWER), "question_id": n, "asked_id": n},
                    where,
                )
                for n, (row, where) in enumerate(labels, start=1)
            ]
        for row, where in rows:
            yield {**row, "images": (pictures.named(row["image"]),)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """`test` and the categories whose labels are in the folder."""
        root = data_root(root)
        folder = self._labelled(root)
        return () if folder is None else ("test", *_label_files(root / folder))

    def _labelled(self, root: Path) -> str | None:
        return next((f for f in self.label_folders if (root / f).is_dir() and _label_files(root / f)), None)


def _label_files(folder: Path) -> dict[str, Path]:
    """Category -> its file, the three of the benchmark first."""
    found = {
        match[1]: path
        for path in sorted(folder.iterdir())
        if (match := _LABELS.fullmatch(path.name)) and path.name != _ASKED
    }
    known = {name: found[name] for name in CATEGORIES if name in found}
    return {**known, **found}


def _labels(path: Path, category: str) -> Iterator[Placed]:
    for row, where in json_lines(path):
        take(row, "image", str, where)
        take(row, "text", str, where)
        if take(row, "label", str, where) not in ("yes", "no"):
            raise ValueError(f"{where}: 'label' must be yes or no, got {row['label']!r}")
        yield {**row, "category": category}, where


def _of_category(row: dict[str, Any], where: str, categories: list[str]) -> bool:
    """Whether a question is of one of these categories; it must name its own."""
    return take(row, "category", str, where) in categories


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["category"], row["image"], question_of(row["text"])
