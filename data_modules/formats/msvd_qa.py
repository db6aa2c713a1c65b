"""MSVD-QA and MSRVTT-QA: open questions about a clip, one right answer each (Xu et al. 2017).

The official files (github.com/xudejing/video-question-answering), JSON lists:

    train_qa.json, val_qa.json, test_qa.json    [{"answer": "animal", "id": 0, "question": "what is chewing
        on a nut?", "video_id": 1}, ...]; MSRVTT-QA's rows also have category_id
    videos/vid1.avi      MSVD-QA: the name of a clip of MSVD in youtube_mapping.txt, whose lines read
        "-4wsuPCjDBc_5_15 vid1"; with that file in the folder, clips by their first names are found as well
    videos/video7010.mp4    MSRVTT-QA: the name of a clip of MSR-VTT
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, first_seen, read_text, split_file, take
from data_modules.formats.named_clips import NamedClips
from data_modules.formats.vl_adapter import json_list

SPLITS = ("train", "val", "test")
MAPPING = "youtube_mapping.txt"


@dataclass(frozen=True, kw_only=True)
class MSVDQA:
    """Reads MSVD-QA.

    Args:
        clip_folders: where clips are looked for, in order, without suffix; {video_id} is filled from the row,
            {youtube} from `youtube_mapping.txt`.
        unanswered: accept rows without an answer.
    """

    clip_folders: Sequence[str] = ("videos/vid{video_id}", "videos/{youtube}")
    unanswered: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's questions in file order: the official fields and frames (the whole clip).

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected.
        """
        root = Path(root)
        path = split_file(root, f"{split}_qa.json", split, self.splits(root))
        clips = NamedClips(root, self.clip_folders, ("video_id", "youtube"))
        named = _mapping(root / MAPPING)
        seen: dict[int, str] = {}
        for row, where in json_list(path):
            first_seen(seen, take(row, "id", int, where), "id", where)
            take(row, "question", str, where)
            if "answer" in row or not self.unanswered:
                take(row, "answer", str, where)
            video = take(row, "video_id", int, where)
            known = {"youtube": named[f"vid{video}"]} if f"vid{video}" in named else {}
            yield {**row, "frames": clips.find({"video_id": video, **known})}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words that the folder holds."""
        root = data_root(root)
        return tuple(word for word in SPLITS if (root / f"{word}_qa.json").is_file())


@dataclass(frozen=True, kw_only=True)
class MSRVTTQA(MSVDQA):
    """Reads MSRVTT-QA."""

    clip_folders: Sequence[str] = ("videos/video{video_id}",)


def _mapping(path: Path) -> dict[str, str]:
    """vid1 -> the clip's name on YouTube with its seconds; empty where there is no such file."""
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.split()
        if words and len(words) != 2:
            raise ValueError(f"{path}, row {number}: expected a clip's two names, got {line!r}")
        if words:
            found[words[1]] = words[0]
    return found
