"""TextVQA: questions whose answer is written in the picture (Singh et al. 2019, arXiv:1904.08920).

    llava_textvqa_val_v051_ocr.jsonl          LLaVA's question file (`playground/data/eval/textvqa`): its
        question_id is the picture, its text "what is the brand?\\nReference OCR token: MIA\\nAnswer ..."
    TextVQA_0.5.1_val.json                    {"data": [{"question_id": 34602, "image_id": "003a8ae2ef43b901",
        "question": "what is the brand?", "answers": [ten texts], ...}, ...]}
    TextVQA_Rosetta_OCR_v0.2_val.json         {"data": [{"image_id": ..., "ocr_tokens": ["MIA", ...]}, ...]}
    train_images/003a8ae2ef43b901.jpg         pictures of train and val; those of test in test_images

The first two are joined by picture and lower-cased question. Where LLaVA's file is not there, the same
prompts are made of the official questions and, where its file is there, of what Rosetta read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, data_root, first_seen, parse_json, read_text, take
from data_modules.formats.llava_pictures import NamedPictures
from data_modules.formats.llava_questions import (
    OCR,
    SHORT_ANSWER,
    Placed,
    instructed,
    paired,
    question_of,
    question_rows,
)

log = logging.getLogger(__name__)

_OFFICIAL = re.compile(r"TextVQA_(?:[\d.]+)_(.+)\.json")
_ASKED = re.compile(r"llava_textvqa_(.+?)_v[\d]+.*\.jsonl")
NUM_HUMANS = 10


@dataclass(frozen=True)
class TextVQA:
    """Reads LLaVA's question file joined with the official questions.

    Args:
        picture_folders: where pictures are looked for, below the data folder, the first that has it.
        unasked: what becomes of official questions that LLaVA's file does not ask: raise or ignore.
    """

    picture_folders: tuple[str, ...] = ("train_images", "test_images")
    unasked: str = "raise"

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The questions of a split, in file order.

        A row holds question_id (int), asked_id (the picture), image_id, question, text, images and, where
        public, answers (ten texts).

        Raises:
            FileNotFoundError: the official file is missing.
            ValueError: a file or row is not as expected, or the two files do not belong together.
        """
        root = data_root(root)
        official = self._only(root, _OFFICIAL, split)
        if official is None:
            raise FileNotFoundError(
                f"split {split!r} needs the file {root / f'TextVQA_0.5.1_{split}.json'}, which is missing; "
                f"splits there: {', '.join(self.splits(root)) or 'none'}"
            )
        pictures = NamedPictures(root, self.picture_folders)
        asked = self._only(root, _ASKED, split)
        if asked is None:
            for row, where in self._prompted(root, official, split):
                images = (pictures.of_stem(row["image_id"]),)
                yield {**row, "asked_id": row["image_id"], "images": images}, where
            return
        rows = paired(
            question_rows(asked, unique=False),
            _questions(official),
            lambda row: (str(row["question_id"]), question_of(row["text"]).lower()),
            lambda row: (row["image_id"], row["question"].lower()),
            files=(asked, official),
            unasked=self.unasked,
        )
        for row, where, known in rows:
            yield {**known, **_asked_fields(row), "images": (pictures.named(row["image"]),)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The splits whose official questions are in the folder."""
        names = sorted(path.name for path in data_root(root).iterdir())
        return tuple(m[1] for m in map(_OFFICIAL.fullmatch, names) if m)

    def _only(self, root: Path, pattern: re.Pattern[str], split: str) -> Path | None:
        found = [p for p in sorted(root.iterdir()) if (m := pattern.fullmatch(p.name)) and m[1] == split]
        if len(found) > 1:
            raise ValueError(
                f"{root} holds several files of split {split!r}: {', '.join(p.name for p in found)}; keep one"
            )
        return found[0] if found else None

    def _prompted(self, root: Path, official: Path, split: str) -> Iterator[Placed]:
        """The official questions with the prompts that LLaVA's file would have."""
        read = _tokens(root, split)
        if read is None:
            log.warning(
                "%s: neither LLaVA's question file nor a file of OCR tokens is there; the prompts go without "
                "the line %r, on which published figures rest",
                root,
                OCR,
            )
        for row, where in _questions(official):
            tokens = (read or {}).get(row["image_id"], [])
            lines = [f"{OCR} {', '.join(tokens)}"] if tokens else []
            yield {**row, "text": instructed(row["question"], *lines, SHORT_ANSWER)}, where


def _asked_fields(row: dict[str, Any]) -> dict[str, Any]:
    return {"asked_id": row["asked_id"], "text": row["text"]}


def _questions(path: Path) -> Iterator[Placed]:
    seen: dict[int, str] = {}
    for row, where in _data(path):
        first_seen(seen, take(row, "question_id", int, where), "question_id", where)
        take(row, "image_id", str, where)
        take(row, "question", str, where)
        if "answers" in row:
            answers = take(row, "answers", list, where)
            if len(answers) != NUM_HUMANS or not all(isinstance(a, str) for a in answers):
                raise ValueError(
                    f"{where}: 'answers' must be a list of {NUM_HUMANS} texts, got {len(answers)}"
                )
        yield row, where


def _tokens(root: Path, split: str) -> dict[str, list[str]] | None:
    """Picture -> what was read in it; None where no file tells."""
    files = sorted(root.glob(f"TextVQA_Rosetta_OCR_*_{split}.json"))
    if not files:
        return None
    found: dict[str, list[str]] = {}
    for row, where in _data(files[-1]):
        found[take(row, "image_id", str, where)] = [str(t) for t in take(row, "ocr_tokens", list, where)]
    return found


def _data(path: Path) -> Iterator[Placed]:
    document = as_object(parse_json(read_text(path), path), str(path))
    for number, row in enumerate(take(document, "data", list, str(path)), start=1):
        where = f"{path}, row {number}"
        yield as_object(row, where), where
