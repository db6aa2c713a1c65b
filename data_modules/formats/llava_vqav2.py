"""VQAv2 as LLaVA asks it: `playground/data/eval/vqav2`.

    llava_vqav2_mscoco_NAME.jsonl                 LLaVA's question file, see `llava_questions`
    v2_OpenEnded_mscoco_NAME_questions.json       the official questions, read where that is not there
    v2_mscoco_NAME_annotations.json               ten answers each, where they are public
    test2015/COCO_test2015_000000262144.jpg       the pictures

NAME is test-dev2015, test2015, val2014 and so on. EvalAI wants an answer to every question of test2015 where
a model has answered those of test-dev2015: `listed_in` of a row names the file that lists all it wants.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, take
from data_modules.formats.llava_pictures import NamedPictures
from data_modules.formats.llava_questions import (
    SHORT_ANSWER,
    Placed,
    instructed,
    paired,
    question_of,
    question_rows,
)
from data_modules.formats.vqav2 import VQAv2

_ASKED = re.compile(r"llava_vqav2_mscoco_(.+)\.jsonl")
_OFFICIAL = re.compile(r"v2_OpenEnded_mscoco_(.+)_questions\.json")
_WHOLE = {"test-dev2015": "test2015"}


@dataclass(frozen=True)
class LlavaVQAv2:
    """Reads LLaVA's question file, or makes its prompts of the official questions.

    Args:
        names: split word -> the NAME in the file names; any other split word is a NAME itself.
        picture_names: NAME -> the folder of its pictures, where the two differ.
        unasked: what becomes of annotations that no question asks for: raise or ignore.
    """

    names: Mapping[str, str] = field(default_factory=lambda: {"test": "test-dev2015", "val": "val2014"})
    picture_names: Mapping[str, str] = field(default_factory=lambda: {"test-dev2015": "test2015"})
    unasked: str = "raise"

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The questions of a split, in file order.

        A row holds question_id (int), asked_id, text, question and images, where annotated question_type,
        answer_type and answers, and `listed_in`, the file that names every question EvalAI wants.

        Raises:
            FileNotFoundError: no file of questions.
            ValueError: a file or row is not as expected, or questions and annotations do not belong together.
        """
        root = Path(root)
        name = self.names.get(split, split)
        asked, path = self._asked(root, name, split)
        listed = self._listed(root, name) or path.absolute()
        known = root / f"v2_mscoco_{name}_annotations.json"
        if known.is_file():
            annotated = VQAv2(names={}).annotations(root, name).values()
            rows = paired(asked, annotated, _number, _number, files=(path, known), unasked=self.unasked)
        else:
            rows = [(row, where, {}) for row, where in asked]
        for row, where, annotation in rows:
            facts: dict[str, Any] = {
                k: annotation[k] for k in ("question_type", "answer_type", "answers") if k in annotation
            }
            yield {**row, **facts, "listed_in": str(listed)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words whose questions are in the folder, known words first."""
        root = data_root(root)
        names = [m[1] for m in map(_ASKED.fullmatch, _files(root)) if m]
        names += [m[1] for m in map(_OFFICIAL.fullmatch, _files(root)) if m and m[1] not in names]
        known = [word for word, name in self.names.items() if name in names]
        return (*known, *(name for name in names if name not in self.names.values()))

    def _asked(self, root: Path, name: str, split: str) -> tuple[list[Placed], Path]:
        path = data_root(root) / f"llava_vqav2_mscoco_{name}.jsonl"
        folder = self.picture_names.get(name, name)
        pictures = NamedPictures(root, (folder,))
        if path.is_file():
            rows = []
            for row, where in question_rows(path):
                if isinstance(row["question_id"], str) and not row["question_id"].isdigit():
                    raise ValueError(
                        f"{where}: 'question_id' must be a whole number, got {row['question_id']!r}"
                    )
                question = question_of(row["text"])
                image = (pictures.named(row["image"]),)
                number = int(row["question_id"])
                rows.append(({**row, "question_id": number, "question": question, "images": image}, where))
            return rows, path
        official = root / f"v2_OpenEnded_mscoco_{name}_questions.json"
        if not official.is_file():
            raise FileNotFoundError(
                f"split {split!r} needs the file {path}, or {official.name} beside it; splits there: "
                f"{', '.join(self.splits(root)) or 'none'}"
            )
        reader = VQAv2(names={}, picture_names=self.picture_names, unanswered=True)
        return [
            (
                {**row, "asked_id": row["question_id"], "text": instructed(row["question"], SHORT_ANSWER)},
                where,
            )
            for row, where in reader.rows(root, name)
        ], official

    def _listed(self, root: Path, name: str) -> Path | None:
        whole = _WHOLE.get(name)
        names = (f"llava_vqav2_mscoco_{whole}.jsonl", f"v2_OpenEnded_mscoco_{whole}_questions.json")
        found = [root / one for one in names if whole is not None and (root / one).is_file()]
        return found[0].absolute() if found else None


def _number(row: Mapping[str, Any]) -> int:
    return take(row, "question_id", int, "a question")


def _files(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())
