"""GQA as LLaVA asks it: `playground/data/eval/gqa`.

    llava_gqa_testdev_balanced.jsonl              LLaVA's question file, see `llava_questions`
    data/testdev_balanced_questions.json          the official questions and answers, see `gqa`
    data/images/n161313.jpg                       the pictures

The official files may also lie in the folder itself. Where the question file is not there, the same prompts
are made of the official questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_modules.formats.annotation import data_root
from data_modules.formats.gqa import GQA
from data_modules.formats.llava_pictures import NamedPictures
from data_modules.formats.llava_questions import SHORT_ANSWER, instructed, paired, question_rows


@dataclass(frozen=True)
class LlavaGQA:
    """Reads LLaVA's question file joined with the official questions by id.

    Args:
        names: split word -> the NAME in the file names; any other split word is a NAME itself.
        folders: where the official files lie below the data folder, the first that has them; "": itself.
        picture_folder: of the pictures, beside the official files.
        unasked: what becomes of official questions that LLaVA's file does not ask: raise or ignore.
    """

    names: Mapping[str, str] = field(default_factory=lambda: {"test": "testdev_balanced"})
    folders: tuple[str, ...] = ("data", "")
    picture_folder: str = "images"
    unasked: str = "raise"

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The questions of a split: the official fields, `asked_id` and `text`.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected, or the two files do not belong together.
        """
        root, name = data_root(root), self.names.get(split, split)
        folder = self._folder(root, name, split)
        official = GQA(names={}, picture_folders=(self.picture_folder,)).rows(root / folder, name)
        path = root / f"llava_gqa_{name}.jsonl"
        if not path.is_file():
            for row, where in official:
                images = tuple(replace(i, path=str(PurePosixPath(folder) / i.path)) for i in row["images"])
                text = instructed(row["question"], SHORT_ANSWER)
                yield {**row, "asked_id": row["question_id"], "text": text, "images": images}, where
            return
        pictures = NamedPictures(root, (str(PurePosixPath(folder) / self.picture_folder),))
        rows = paired(
            question_rows(path),
            official,
            lambda row: str(row["question_id"]),
            lambda row: row["question_id"],
            files=(path, root / folder / f"{name}_questions.json"),
            unasked=self.unasked,
        )
        for row, where, known in rows:
            if PurePosixPath(row["image"]).stem != known["image_id"]:
                raise ValueError(
                    f"{where}: image {row['image']!r}, but the official question {known['question_id']} is "
                    f"about {known['image_id']!r}"
                )
            images = (pictures.named(row["image"]),)
            yield {**known, "asked_id": row["asked_id"], "text": row["text"], "images": images}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words whose official questions are in the folder."""
        root = data_root(root)
        there: list[str] = []
        for folder in self._there(root):
            there += [n for n in GQA(names={}).splits(root / folder) if n not in there]
        known = [word for word, name in self.names.items() if name in there]
        return (*known, *(name for name in there if name not in self.names.values()))

    def _there(self, root: Path) -> list[str]:
        """The folders that hold official questions."""
        return [
            folder
            for folder in self.folders
            if (root / folder).is_dir() and any((root / folder).glob("*_questions*"))
        ]

    def _folder(self, root: Path, name: str, split: str) -> str:
        found = [f for f in self._there(root) if any((root / f).glob(f"{name}_questions*"))]
        if not found:
            raise FileNotFoundError(
                f"split {split!r} needs the file {root / self.folders[0] / f'{name}_questions.json'}, which "
                f"is missing; splits there: {', '.join(self.splits(root)) or 'none'}"
            )
        return found[0]
