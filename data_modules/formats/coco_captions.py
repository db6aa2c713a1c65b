"""COCO captions in Karpathy's splits (Karpathy & Fei-Fei 2015, arXiv:1412.2306; Chen et al. 2015).

    dataset_coco.json    {"dataset": "coco", "images": [{"filepath": "val2014", "filename":
        "COCO_val2014_000000391895.jpg", "split": "test", "imgid": 0, "cocoid": 391895, "sentids": [770337],
        "sentences": [{"raw": "A man with a red helmet ...", "tokens": [...], "imgid": 0, "sentid": 770337},
        ...]}, ...]}
    val2014/COCO_val2014_000000391895.jpg

`train` has one row a caption and holds Karpathy's train and restval; every other split has one row a
picture with all its captions, as has `train:pictures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import (
    as_object,
    data_root,
    first_seen,
    parse_json,
    read_text,
    split_file,
    take,
)
from data_modules.formats.vl_adapter import Pictures

ANNOTATIONS = "dataset_coco.json"
MEMBERS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
PICTURES = "train:pictures"


@dataclass(frozen=True)
class CocoCaptions:
    """Reads Karpathy's one file of all splits.

    Args:
        picture_folders: where pictures are looked for, below the data folder, the first that has it;
            {filepath} is filled from the row.
    """

    picture_folders: tuple[str, ...] = ("{filepath}", "images/{filepath}", "images")

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's rows in file order.

        A row holds image_id (COCO's), captions (one of `train`, all of a picture else), images, and for a
        row of one caption caption_id.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: the file, a row or the split word is not as expected.
        """
        root = Path(root)
        path = split_file(root, ANNOTATIONS, split, ())
        word = "train" if split == PICTURES else split
        if word not in MEMBERS:
            allowed = ", ".join([*MEMBERS, PICTURES])
            raise ValueError(f"split {split!r} is not in {path}; allowed: {allowed}")
        pictures = Pictures(root)
        seen: dict[int, str] = {}
        sentences: dict[int, str] = {}
        for row, where in _images(path):
            first_seen(seen, row["cocoid"], "cocoid", where)
            if row["split"] not in MEMBERS[word]:
                continue
            folders = tuple(f.format(filepath=row["filepath"]) for f in self.picture_folders)
            fields = {"image_id": row["cocoid"], "images": (pictures.find(folders, _stem(row, where)),)}
            captions = _captions(row, where, sentences)
            if split == "train":
                for number, text in captions:
                    yield {**fields, "caption_id": number, "captions": [text]}, where
            else:
                yield {**fields, "captions": [text for _, text in captions]}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words of which the file holds pictures."""
        path = data_root(root) / ANNOTATIONS
        if not path.is_file():
            return ()
        there = {row["split"] for row, _ in _images(path)}
        found = [word for word, members in MEMBERS.items() if there & set(members)]
        return (*found, PICTURES) if "train" in found else tuple(found)


def _images(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    document = as_object(parse_json(read_text(path), path), str(path))
    known = {member for members in MEMBERS.values() for member in members}
    for number, value in enumerate(take(document, "images", list, str(path)), start=1):
        where = f"{path}, row {number}"
        row = as_object(value, where)
        take(row, "cocoid", int, where)
        for name in ("filename", "filepath"):
            take(row, name, str, where)
        if take(row, "split", str, where) not in known:
            allowed = ", ".join(sorted(known))
            raise ValueError(f"{where}: 'split' must be one of {allowed}, got {row['split']!r}")
        yield row, where


def _stem(row: dict[str, Any], where: str) -> str:
    stem, dot, suffix = row["filename"].rpartition(".")
    if not stem:
        raise ValueError(f"{where}: 'filename' must be a picture's name, got {row['filename']!r}")
    return stem


def _captions(row: dict[str, Any], where: str, seen: dict[int, str]) -> list[tuple[int, str]]:
    """(sentid, raw text) of a picture's captions, in order, surrounding white space off."""
    found = []
    for place, sentence in enumerate(take(row, "sentences", list, where), start=1):
        inside = f"{where}, sentence {place}"
        number = take(as_object(sentence, inside), "sentid", int, inside)
        first_seen(seen, number, "sentid", inside)
        text = take(sentence, "raw", str, inside).strip()
        if not text:
            raise ValueError(f"{inside}: 'raw' is an empty caption")
        found.append((number, text))
    if not found:
        raise ValueError(f"{where}: 'sentences' is an empty list; expected captions (five)")
    return found
