"""NExT-QA, multiple choice: which of five answers is right? (Xiao et al. 2021, arXiv:2105.08276)

The official tables (github.com/doc-doc/NExT-QA, folder dataset/nextqa):

    train.csv, val.csv, test.csv    video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4
        4010069381,369,640,480,how do the two man play the instrument,0,6,CH,roll the handle,tap feet,...
    map_vid_vidorID.json            {"4010069381": "1164/4010069381", ...}: where VidOR, and the folder
        NExTVideo of the release, have the clips
    videos/4010069381.mp4           or videos/1164/4010069381.mp4, or NExTVideo/1164/4010069381.mp4
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
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
)
from data_modules.formats.named_clips import NamedClips

SPLITS = ("train", "val", "test")
NUM_CHOICES = 5
COLUMNS = ("video", "question", "qid", "type", *(f"a{i}" for i in range(NUM_CHOICES)))
# Those of the official script; TP counts as TN there.
TYPES = ("CW", "CH", "TN", "TC", "TP", "DC", "DL", "DO")
PLACES = "map_vid_vidorID.json"


@dataclass(frozen=True, kw_only=True)
class NExTQA:
    """Reads the official tables.

    Args:
        clip_folders: where clips are looked for, in order, without suffix; {video} is filled from the row,
            {vidor} from `map_vid_vidorID.json`.
        unanswered: accept tables without the column answer.
    """

    clip_folders: Sequence[str] = (
        "videos/{video}",
        "videos/{vidor}",
        "NExTVideo/{vidor}",
        "NExTVideo/{video}",
    )
    unanswered: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's questions in file order.

        A row holds the official fields as texts, answer as a number where there is one, and frames (the whole
        clip).

        Raises:
            FileNotFoundError: the table is missing.
            ValueError: the table or a row is not as expected.
        """
        root = Path(root)
        path = split_file(root, f"{split}.csv", split, self.splits(root))
        clips = NamedClips(root, self.clip_folders, ("video", "vidor"))
        places = _places(root / PLACES)
        seen: dict[tuple[str, str], str] = {}
        for row, where in self._table(path):
            first_seen(seen, (row["video"], row["qid"]), "video and qid", where)
            if row["type"] not in TYPES:
                raise ValueError(f"{where}: 'type' must be one of {', '.join(TYPES)}, got {row['type']!r}")
            place = places.get(row["video"])
            names = {"video": row["video"], **({} if place is None else {"vidor": place})}
            yield {**row, **_answer(row, where), "frames": clips.find(names)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words that the folder holds."""
        root = data_root(root)
        return tuple(word for word in SPLITS if (root / f"{word}.csv").is_file())

    def _table(self, path: Path) -> Iterator[tuple[dict[str, str], str]]:
        reader = csv.DictReader(read_text(path).splitlines(keepends=True))
        asked = (*COLUMNS, *(() if self.unanswered else ("answer",)))
        absent = [name for name in asked if name not in (reader.fieldnames or ())]
        if absent:
            there = ", ".join(reader.fieldnames or ())
            raise ValueError(f"{path}: the columns {', '.join(absent)} are missing; columns there: {there}")
        for row in reader:
            where = f"{path}, row {reader.line_num}"
            if None in row or None in row.values():
                raise ValueError(
                    f"{where}: it has more or fewer fields than the {len(reader.fieldnames or ())} columns"
                )
            yield row, where


def _answer(row: dict[str, str], where: str) -> dict[str, int]:
    if "answer" not in row:
        return {}
    if not row["answer"].isdigit() or int(row["answer"]) >= NUM_CHOICES:
        raise ValueError(f"{where}: 'answer' must lie in 0..{NUM_CHOICES - 1}, got {row['answer']!r}")
    return {"answer": int(row["answer"])}


def _places(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    found = as_object(parse_json(read_text(path), path), str(path))
    return {str(name): str(place) for name, place in found.items()}
