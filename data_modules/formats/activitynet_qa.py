"""ActivityNet-QA: open questions about a clip of nine types, one right answer each (Yu et al. 2019).

The official files (github.com/MILVLG/activitynet-qa, folder dataset), JSON lists:

    train_q.json, val_q.json, test_q.json    [{"video_name": "1QIUV7WYKXg", "question": "is the athlete
        wearing trousers", "question_id": "1QIUV7WYKXg_3"}, ...]
    train_a.json, val_a.json, test_a.json    [{"answer": "yes", "type": 3, "question_id":
        "1QIUV7WYKXg_3"}, ...]
    videos/v_1QIUV7WYKXg.mp4                 as ActivityNet names its clips; or without v_
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, first_seen, split_file, take
from data_modules.formats.named_clips import NamedClips
from data_modules.formats.vl_adapter import json_list

SPLITS = ("train", "val", "test")
NUM_TYPES = 9


@dataclass(frozen=True, kw_only=True)
class ActivityNetQA:
    """Pairs the questions of a split with its answers by id.

    Args:
        clip_folders: where clips are looked for, in order, without suffix; {video_name} is filled from the
            row.
        unanswered: read questions alone; the file of answers need not be there.
    """

    clip_folders: Sequence[str] = ("videos/v_{video_name}", "videos/{video_name}")
    unanswered: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's questions in file order.

        A row holds question_id, question, video_name, answer, type (0 to 8) and frames (the whole clip).

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected, or a question has no answer.
        """
        root = Path(root)
        path = split_file(root, f"{split}_q.json", split, self.splits(root))
        answers = self._answers(root, split)
        clips = NamedClips(root, self.clip_folders, ("video_name",))
        seen: dict[str, str] = {}
        for row, where in json_list(path):
            name = take(row, "question_id", str, where)
            first_seen(seen, name, "question_id", where)
            take(row, "question", str, where)
            video = take(row, "video_name", str, where)
            answer = answers.get(name)
            if answer is None and not self.unanswered:
                raise ValueError(
                    f"{where}: the question {name!r} has no answer in {split}_a.json; set "
                    "data.files.unanswered=true to read questions without answers"
                )
            yield {**row, **(answer or {}), "frames": clips.find({"video_name": video})}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words of which the folder holds the files."""
        root = data_root(root)
        kinds = ("q",) if self.unanswered else ("q", "a")
        return tuple(w for w in SPLITS if all((root / f"{w}_{kind}.json").is_file() for kind in kinds))

    def _answers(self, root: Path, split: str) -> dict[str, dict[str, Any]]:
        if self.unanswered and not (root / f"{split}_a.json").is_file():
            return {}
        path = split_file(root, f"{split}_a.json", split, self.splits(root))
        found: dict[str, dict[str, Any]] = {}
        seen: dict[str, str] = {}
        for row, where in json_list(path):
            name = take(row, "question_id", str, where)
            first_seen(seen, name, "question_id", where)
            kind = row.get("type")
            # The official file holds whole numbers; copies of it hold them as texts.
            if not str(kind).isdigit() or int(str(kind)) >= NUM_TYPES:
                raise ValueError(
                    f"{where}: 'type' must be a whole number in 0..{NUM_TYPES - 1}, got {kind!r}"
                )
            found[name] = {"answer": take(row, "answer", str, where), "type": int(str(kind))}
        return found
