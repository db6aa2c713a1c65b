"""VL-Adapter's annotation files: one JSON list a split, the same few fields for every image task.

Source: the folders `vqa`, `GQA` and `nlvr` of VL-T5's and VL-Adapter's `datasets` (Cho et al. 2021,
arXiv:2102.02779; Sung et al. 2022, arXiv:2112.06825). Pictures lie elsewhere there, and are named by
`img_id`: `COCO_train2014_000000458752`, `2405722`, `train-10171-0-img0`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, parse_json, read_text, take
from vl_dora.batch import ImageRef

SUFFIXES = (".jpg", ".png")


def json_list(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a JSON list with where each stands.

    Raises:
        ValueError: not a list of objects.
    """
    document = parse_json(read_text(path), path)
    if not isinstance(document, list):
        raise ValueError(f"{path}: expected a list [...] of rows, got {type(document).__name__}")
    for number, row in enumerate(document, start=1):
        where = f"{path}, row {number}"
        yield as_object(row, where), where


def question_of(row: Mapping[str, Any], where: str) -> str:
    """The text of a row: `sent`, or `question` as some files call it."""
    return take(row, "sent" if "sent" in row or "question" not in row else "question", str, where)


def label_of(row: Mapping[str, Any], where: str) -> dict[str, float] | None:
    """The soft scores `label`, answer -> 0..1; None where the split has none.

    Raises:
        ValueError: not an object of numbers in 0..1.
    """
    if "label" not in row:
        return None
    label = take(row, "label", dict, where)
    for answer, score in label.items():
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not number or not 0 <= score <= 1:
            raise ValueError(f"{where}: 'label' gives {answer!r} the score {score!r}; it must lie in 0..1")
    return {answer: float(score) for answer, score in label.items()}


class Pictures:
    """Finds the file names of pictures with one listing a folder.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, frozenset[str]] = {}

    def find(self, folders: tuple[str, ...], stem: str) -> ImageRef:
        """The picture `stem` in the first of these folders that holds it; else as .jpg in the first.

        A picture that is nowhere is for the picture loader to report, or lies in stored features.
        """
        for folder in folders:
            for suffix in SUFFIXES:
                if f"{stem}{suffix}" in self._names(folder):
                    return ImageRef(_joined(folder, f"{stem}{suffix}"))
        return ImageRef(_joined(folders[0], f"{stem}{SUFFIXES[0]}"))

    def holds(self, folder: str, name: str) -> bool:
        """Whether a file of this name lies in the folder."""
        return name in self._names(folder)

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listed:
            path = self.root / folder
            self._listed[folder] = frozenset(os.listdir(path) if path.is_dir() else ())
        return self._listed[folder]


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
