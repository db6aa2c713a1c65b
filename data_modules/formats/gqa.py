"""GQA: compositional questions about real pictures (Hudson & Manning 2019, arXiv:1902.09506).

The official download, unpacked into one folder (cs.stanford.edu/people/dorarad/gqa/download.html):

    NAME_questions.json       {"201307251": {"imageId": "2354786", "question": "Is the sky dark?", "answer":
        "yes", "isBalanced": true, "types": {"structural": "verify", "semantic": "attr", "detailed":
        "verifyAttr"}, "groups": {"global": null, "local": "06-sky_dark"}, "entailed": ["201307252"],
        "semantic": [{"operation": "select", "dependencies": [], "argument": "sky (0)"}, ...], ...}, ...}
    NAME_questions/NAME_questions_0.json ...  the same in several files (train_all)
    images/2354786.jpg

NAME is train_balanced, val_balanced, testdev_balanced, testdev_all, submission_all and so on. Where none is
there, VL-Adapter's train.json, valid.json, testdev.json and submit.json are read, lists of
{"img_id": "2354786", "question_id": "201307251", "sent": "Is the sky dark?", "label": {"yes": 1.0}}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, data_root, first_seen, parse_json, read_text, take
from data_modules.formats.vl_adapter import Pictures, json_list, label_of, question_of

_OFFICIAL = re.compile(r"(.+)_questions(\.json)?")
_VL_ADAPTER = {"train": "train", "val": "valid", "testdev": "testdev", "submit": "submit"}
_REFERENCE = {"train": "train+val", "val": "testdev"}


@dataclass(frozen=True)
class GQA:
    """Reads the official files, or VL-Adapter's where the folder holds those.

    Words joined by + are read one after the other: `train+val`.

    Args:
        names: split word -> the NAME of official files; any other split word is a NAME itself.
        picture_folders: where pictures are looked for, below the data folder, the first that has it.
        unanswered: accept questions without answers (submission); their rows have no `answer`.
        chooses_on_testdev: the reference's fault: `train` is train+val, and `val`, by which a checkpoint
            is chosen, is testdev, whose score is the one reported.
    """

    names: Mapping[str, str] = field(
        default_factory=lambda: {
            "train": "train_balanced",
            "val": "val_balanced",
            "testdev": "testdev_balanced",
        }
    )
    picture_folders: tuple[str, ...] = ("images",)
    unanswered: bool = False
    chooses_on_testdev: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's questions in file order.

        A row holds question_id, question, images (one `ImageRef`), and either the official fields (answer,
        isBalanced, types, groups, entailed, semantic, ...) or `label` (answer -> score).

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected.
        """
        root = Path(root)
        there, official = self._found(root)
        pictures = Pictures(root)
        seen: dict[str, str] = {}
        asked = _REFERENCE.get(split, split) if self.chooses_on_testdev else split
        for word in asked.split("+"):
            name = (self.names if official else _VL_ADAPTER).get(word, word)
            if name not in there:
                needed = root / (f"{name}_questions.json" if official else f"{name}.json")
                raise FileNotFoundError(
                    f"split {split!r} needs the file {needed}, which is missing; splits there: "
                    f"{', '.join(self.splits(root)) or 'none'}"
                )
            read = self._official if official else self._vl_adapter
            for path in there[name]:
                for row, where in read(path):
                    first_seen(seen, row["question_id"], "question_id", where)
                    yield {**row, "images": (pictures.find(self.picture_folders, row["image_id"]),)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words that the folder holds, known words first; with + their unions."""
        there, official = self._found(data_root(root))
        names = self.names if official else _VL_ADAPTER
        known = [word for word, name in names.items() if name in there]
        others = [name for name in there if name not in names.values()] if official else []
        union = ["train+val"] if {"train", "val"} <= set(known) else []
        return (*known, *others, *union)

    def _found(self, root: Path) -> tuple[dict[str, list[Path]], bool]:
        """NAME -> its files, and whether they are the official ones."""
        found: dict[str, list[Path]] = {}
        for path in sorted(data_root(root).iterdir()):
            match = _OFFICIAL.fullmatch(path.name)
            if match and match[2] and path.is_file():
                found[match[1]] = [path]
            elif match and not match[2] and path.is_dir():
                parts = sorted(path.glob(f"{match[0]}_*.json"), key=lambda p: (len(p.name), p.name))
                if parts:
                    found[match[1]] = parts
        if found:
            return found, True
        lists = {name: [root / f"{name}.json"] for name in _VL_ADAPTER.values()}
        return {name: paths for name, paths in lists.items() if paths[0].is_file()}, False

    def _official(self, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
        document = as_object(parse_json(read_text(path), path), str(path))
        for key, value in document.items():
            where = f"{path}, question {key}"
            row = as_object(value, where)
            image = take(row, "imageId", str, where)
            take(row, "question", str, where)
            take(row, "isBalanced", bool, where)
            if "answer" in row or not self.unanswered:
                take(row, "answer", str, where)
                for kind in ("structural", "semantic", "detailed"):
                    take(take(row, "types", dict, where), kind, str, f"{where}, field 'types'")
                take(row, "groups", dict, where)
                take(row, "entailed", list, where)
                take(row, "semantic", list, where)
            yield {**row, "question_id": key, "image_id": image}, where

    def _vl_adapter(self, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
        for row, where in json_list(path):
            key, image = take(row, "question_id", str, where), take(row, "img_id", str, where)
            label = label_of(row, where)
            if not label and not self.unanswered:
                raise ValueError(
                    f"{where}: no 'label' with an answer; set data.files.unanswered=true to read "
                    "questions without answers"
                )
            fields = {"question_id": key, "image_id": image, "question": question_of(row, where)}
            yield {**fields, **({"label": label} if label else {})}, where
