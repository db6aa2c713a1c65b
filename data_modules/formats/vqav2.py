"""VQAv2: questions about pictures with ten human answers each (Goyal et al. 2017, arXiv:1612.00837).

The official download, unpacked into one folder (visualqa.org/download.html):

    v2_OpenEnded_mscoco_NAME_questions.json  {"questions": [{"question_id": 458752000, "image_id":
        458752, "question": "What is this photo taken looking through?"}, ...], ...}
    v2_mscoco_NAME_annotations.json          {"annotations": [{"question_id": 458752000, "image_id":
        458752, "question_type": "what is this", "answer_type": "other", "multiple_choice_answer":
        "net", "answers": [{"answer": "net", "answer_confidence": "maybe", "answer_id": 1}, ...]}]}
    NAME/COCO_NAME_000000458752.jpg          the pictures, .jpg or .png

Where none of these question files is there, VL-Adapter's are read, see `vqa_karpathy`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.formats import vqa_karpathy
from data_modules.formats.annotation import (
    as_object,
    data_root,
    first_seen,
    parse_json,
    read_text,
    split_file,
    take,
)
from vl_dora.batch import ImageRef

log = logging.getLogger(__name__)

_QUESTIONS = re.compile(r"v2_OpenEnded_mscoco_(.+)_questions\.json")


@dataclass(frozen=True)
class VQAv2:
    """Reads the official question and annotation files.

    Args:
        names: split word -> the NAME in the file names; any other split word is a NAME itself.
        picture_names: NAME -> the NAME in the pictures' paths, where the two differ.
        unanswered: accept questions without annotations (test2015); their rows have no `answers`.
        karpathy_folders: where the pictures of VL-Adapter's files are looked for, below the data folder, the
            first that has it; {folder} is train2014, val2014 or test2015.
    """

    names: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train2014", "val": "val2014", "test": "test2015"}
    )
    picture_names: Mapping[str, str] = field(default_factory=lambda: {"test-dev2015": "test2015"})
    unanswered: bool = False
    karpathy_folders: tuple[str, ...] = ("{folder}", "images/{folder}")

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's questions, joined with their annotations, in the order of the question file.

        A row holds question_id, image_id (int), question, images (one `ImageRef`) and, where
        annotated, question_type, answer_type and answers (a list of {"answer": str, ...}).

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected.
        """
        root = Path(root)
        if not self._official(root) and vqa_karpathy.splits(root):
            yield from self._karpathy(root, split)
            return
        name = self.names.get(split, split)
        path = split_file(root, f"v2_OpenEnded_mscoco_{name}_questions.json", split, self.splits(root))
        annotations = self.annotations(root, name)
        pictures = self.picture_names.get(name, name)
        pngs = _png_names(root / pictures)
        seen: dict[int, str] = {}
        used = 0
        for row, where in _records(path, "questions"):
            number, image = take(row, "question_id", int, where), take(row, "image_id", int, where)
            take(row, "question", str, where)
            first_seen(seen, number, "question_id", where)
            annotation, source = annotations.get(number, ({}, ""))
            used += bool(source)
            if not source and not self.unanswered:
                raise ValueError(
                    f"{where}: question_id {number} has no annotation in v2_mscoco_{name}_annotations.json; "
                    "set data.files.unanswered=true to read questions without answers"
                )
            if source and annotation["image_id"] != image:
                raise ValueError(
                    f"{where}: image_id {image}, but {source} has image_id {annotation['image_id']} "
                    f"for the same question_id {number}"
                )
            stem = f"COCO_{pictures}_{image:012d}"
            suffix = ".png" if f"{stem}.png" in pngs else ".jpg"
            yield {**annotation, **row, "images": (ImageRef(f"{pictures}/{stem}{suffix}"),)}, where
        if used < len(annotations):
            log.warning("%s: %d annotations belong to none of its questions", path, len(annotations) - used)

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words whose question file is in the folder, known words first."""
        found = self._official(root)
        if not found:
            return vqa_karpathy.splits(Path(root))
        known = [word for word, name in self.names.items() if name in found]
        return (*known, *(name for name in found if name not in self.names.values()))

    def _official(self, root: Path) -> list[str]:
        """The NAMEs of the official question files."""
        return [m[1] for m in map(_QUESTIONS.fullmatch, sorted(os.listdir(data_root(root)))) if m]

    def _karpathy(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        annotations: dict[int, tuple[dict[str, Any], str]] = {}
        for name in ("train2014", "val2014"):
            if (root / f"v2_mscoco_{name}_annotations.json").is_file():
                annotations |= self.annotations(root, name)
        yield from vqa_karpathy.rows(
            root, split, annotations, folders=tuple(self.karpathy_folders), unanswered=self.unanswered
        )

    def annotations(self, root: Path, name: str) -> dict[int, tuple[dict[str, Any], str]]:
        """question_id -> its annotation and where it stands; none where the file may be missing and is.

        Raises:
            FileNotFoundError: the file of this NAME is missing, and `unanswered` is not set.
            ValueError: the file or a row is not as expected, or an id is there twice.
        """
        path = root / f"v2_mscoco_{name}_annotations.json"
        if not path.is_file():
            if self.unanswered:
                return {}
            raise FileNotFoundError(
                f"{path} is missing; it holds the answers. Set data.files.unanswered=true to read "
                "questions without answers"
            )
        found: dict[int, tuple[dict[str, Any], str]] = {}
        seen: dict[int, str] = {}
        for row, where in _records(path, "annotations"):
            number = take(row, "question_id", int, where)
            first_seen(seen, number, "question_id", where)
            take(row, "image_id", int, where)
            take(row, "question_type", str, where)
            take(row, "answer_type", str, where)
            answers = take(row, "answers", list, where)
            if not answers:
                raise ValueError(f"{where}: 'answers' is an empty list; expected the humans' answers (ten)")
            for place, answer in enumerate(answers, start=1):
                inside = f"{where}, answer {place}"
                take(as_object(answer, inside), "answer", str, inside)
            found[number] = row, where
        return found


def _records(path: Path, key: str) -> Iterator[tuple[dict[str, Any], str]]:
    document = as_object(parse_json(read_text(path), path), str(path))
    for number, row in enumerate(take(document, key, list, str(path)), start=1):
        where = f"{path}, row {number}"
        yield as_object(row, f"{where} of {key!r}"), where


def _png_names(folder: Path) -> set[str]:
    # One listing instead of one look-up a picture; a missing folder is for the picture loader to report.
    return {name for name in os.listdir(folder) if name.endswith(".png")} if folder.is_dir() else set()
