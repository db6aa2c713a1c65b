"""NLVR2: is a sentence true of a pair of photographs? (Suhr et al. 2019, arXiv:1811.00491)

The official files (github.com/lil-lab/nlvr, folder nlvr2/data), JSON lines, and the pictures beside them:

    train.json               {"identifier": "train-10171-0-0", "sentence": "One image shows ...", "label":
        "True", "directory": 57, "left_url": "https://...", "right_url": "https://...", ...}
    dev.json, test1.json     the same without "directory"
    balanced/balanced_dev.json, unbalanced/unbalanced_dev.json    the rows of two subsets of a split
    images/train/57/train-10171-0-img0.png, dev/dev-850-0-img0.png, test1/...

identifier = split-set-pair-sentence; img0 is the left picture, img1 the right one. Where a split word's
file is no JSON lines but a list, it is VL-Adapter's: train.json, valid.json and test.json with rows
{"identifier": ..., "img0": "train-10171-0-img0", "img1": ..., "label": 0 or 1, "sent": ..., "uid": ...}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, first_seen, json_lines, split_file, take
from data_modules.formats.vl_adapter import Pictures, json_list, question_of

_VL_ADAPTER = {"val": "valid", "dev": "valid", "test1": "test"}
SUBSETS = ("balanced", "unbalanced")


@dataclass(frozen=True)
class NLVR2:
    """Reads the official files, or VL-Adapter's where the folder holds those.

    Args:
        names: split word -> the NAME of official files; any other split word is a NAME itself.
        picture_folders: where pictures are looked for, below the data folder, the first that has it; {split}
            and {directory} are filled from the row.
        unanswered: accept rows without a label (test2 as the servers give it).
    """

    names: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train", "val": "dev", "test": "test1"}
    )
    picture_folders: tuple[str, ...] = ("images/{split}/{directory}", "{split}", "images/{split}", "images")
    unanswered: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's sentences in file order.

        A row holds identifier, sentence, label ("True" or "False"), images (left, right) and, where the
        folder tells, subset (balanced or unbalanced).

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected.
        """
        root = Path(root)
        name, as_list = self._file(data_root(root), split)
        path = split_file(root, f"{name}.json", split, self.splits(root))
        subsets = {} if as_list else _subsets(root, name)
        pictures = Pictures(root)
        seen: dict[str, str] = {}
        for row, where in self._vl_adapter(path) if as_list else self._official(path):
            first_seen(seen, row["identifier"], "identifier", where)
            pair = row["identifier"].rpartition("-")[0]
            given = {"split": row["identifier"].split("-")[0], "directory": row.get("directory", "")}
            folders = tuple(folder.format(**given) for folder in self.picture_folders)
            stems = [row.get(f"img{k}", f"{pair}-img{k}") for k in (0, 1)]
            row = {**row, "images": tuple(pictures.find(folders, stem) for stem in stems)}
            if row["identifier"] in subsets:
                row["subset"] = subsets[row["identifier"]]
            yield row, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words that the folder holds, known words first."""
        root = data_root(root)
        words = [*self.names, *(n for n in ("dev", "test1", "test2") if n not in self.names)]
        found = [word for word in words if (root / f"{self._file(root, word)[0]}.json").is_file()]
        return tuple(found)

    def _file(self, root: Path, split: str) -> tuple[str, bool]:
        """NAME of the split's file, and whether it is VL-Adapter's list."""
        name = self.names.get(split, split)
        if not (root / f"{name}.json").is_file():
            name = _VL_ADAPTER.get(split, _VL_ADAPTER.get(name, name))
        path = root / f"{name}.json"
        return name, path.is_file() and _first_letter(path) == "["

    def _official(self, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
        for row, where in json_lines(path):
            _check_identifier(take(row, "identifier", str, where), where)
            take(row, "sentence", str, where)
            if "label" not in row and self.unanswered:
                yield row, where
                continue
            if take(row, "label", str, where).lower() not in ("true", "false"):
                raise ValueError(f"{where}: 'label' must be True or False, got {row['label']!r}")
            yield {**row, "label": row["label"].capitalize()}, where

    def _vl_adapter(self, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
        for row, where in json_list(path):
            _check_identifier(take(row, "identifier", str, where), where)
            fields = {name: take(row, name, str, where) for name in ("img0", "img1")}
            fields |= {"identifier": row["identifier"], "sentence": question_of(row, where)}
            if "label" in row or not self.unanswered:
                label = take(row, "label", int, where)
                if label not in (0, 1):
                    raise ValueError(f"{where}: 'label' must be 0 or 1, got {label}")
                fields["label"] = str(bool(label))
            yield fields, where


def _first_letter(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1].decode("latin-1")


def _check_identifier(identifier: str, where: str) -> None:
    parts = identifier.split("-")
    if len(parts) != 4 or not all(part.isdigit() for part in parts[1:]):
        raise ValueError(
            f"{where}: 'identifier' must read split-set-pair-sentence (three numbers), got {identifier!r}"
        )


def _subsets(root: Path, name: str) -> dict[str, str]:
    """identifier -> balanced or unbalanced, from the official files of the two where they are there."""
    found: dict[str, str] = {}
    for subset in SUBSETS:
        path = root / subset / f"{subset}_{name}.json"
        if path.is_file():
            for row, where in json_lines(path):
                found[take(row, "identifier", str, where)] = subset
    return found
