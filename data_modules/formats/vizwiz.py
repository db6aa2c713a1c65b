"""VizWiz: questions that blind people asked about pictures they took (Gurari et al. 2018, arXiv:1802.08218).

    llava_NAME.jsonl          LLaVA's question file (`playground/data/eval/vizwiz`), see `llava_questions`
    NAME.json                 the official file, also in Annotations/: [{"image": "VizWiz_val_00000000.jpg",
                              "question": "Ok. There is another picture I hope ...", "answers":
                              [{"answer": "unanswerable", "answer_confidence": "yes"}, ...], "answer_type":
                              "unanswerable", "answerable": 0}, ...]; test has image and question alone
    NAME/VizWiz_val_00000000.jpg

NAME is train, val or test. Every picture has one question, so the two files are joined by picture. Where
LLaVA's file is not there, the same prompts are made of the official questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, data_root, first_seen, take
from data_modules.formats.llava_pictures import NamedPictures
from data_modules.formats.llava_questions import (
    SHORT_ANSWER,
    UNANSWERABLE,
    Placed,
    instructed,
    paired,
    question_of,
    question_rows,
)
from data_modules.formats.vl_adapter import json_list

NAMES = ("train", "val", "test")
_ASKED = re.compile(r"llava_(.+)\.jsonl")


@dataclass(frozen=True)
class VizWiz:
    """Reads LLaVA's question file, the official file, or both joined.

    Args:
        folders: where the official file lies below the data folder, the first that has it; "": itself.
        unasked: what becomes of official questions that LLaVA's file does not ask: raise or ignore.
    """

    folders: tuple[str, ...] = ("", "Annotations")
    unasked: str = "raise"

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The questions of a split, in file order.

        A row holds question_id, asked_id, text, question, image and images, and where they are public
        answers, answer_type and answerable.

        Raises:
            FileNotFoundError: neither file is there.
            ValueError: a file or row is not as expected, or the two files do not belong together.
        """
        root = data_root(root)
        pictures = NamedPictures(root, (split, f"images/{split}"))
        asked, official = root / f"llava_{split}.jsonl", self._official(root, split)
        if asked.is_file():
            rows: list[Placed] = list(question_rows(asked))
            if official is not None:
                known = paired(
                    rows,
                    _annotations(official),
                    lambda row: row["image"],
                    lambda row: row["image"],
                    files=(asked, official),
                    unasked=self.unasked,
                )
                rows = [({**annotation, **row}, where) for row, where, annotation in known]
            rows = [({"question": question_of(row["text"]), **row}, where) for row, where in rows]
        elif official is not None:
            rows = [
                (
                    {
                        **row,
                        "question_id": number,
                        "asked_id": number,
                        "text": instructed(row["question"], UNANSWERABLE, SHORT_ANSWER),
                    },
                    where,
                )
                for number, (row, where) in enumerate(_annotations(official))
            ]
        else:
            raise FileNotFoundError(
                f"split {split!r} needs the file {asked}, or {split}.json beside it; splits there: "
                f"{', '.join(self.splits(root)) or 'none'}"
            )
        for row, where in rows:
            yield {**row, "images": (pictures.named(row["image"]),)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The splits whose questions are in the folder."""
        root = data_root(root)
        asked = [m[1] for m in map(_ASKED.fullmatch, sorted(p.name for p in root.iterdir())) if m]
        official = [name for name in NAMES if self._official(root, name) is not None]
        return tuple(dict.fromkeys([*official, *asked]))

    def _official(self, root: Path, split: str) -> Path | None:
        places = (root / folder / f"{split}.json" for folder in self.folders)
        return next((path for path in places if path.is_file()), None)


def _annotations(path: Path) -> Iterator[Placed]:
    seen: dict[str, str] = {}
    for row, where in json_list(path):
        first_seen(seen, take(row, "image", str, where), "image", where)
        take(row, "question", str, where)
        if "answers" in row:
            answers = take(row, "answers", list, where)
            if not answers:
                raise ValueError(f"{where}: 'answers' is an empty list; expected the humans' answers (ten)")
            for place, answer in enumerate(answers, start=1):
                inside = f"{where}, answer {place}"
                take(as_object(answer, inside), "answer", str, inside)
            take(row, "answer_type", str, where)
            if take(row, "answerable", int, where) not in (0, 1):
                raise ValueError(f"{where}: 'answerable' must be 0 or 1, got {row['answerable']}")
        yield row, where
