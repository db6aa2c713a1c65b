"""TVQA and How2QA: which of five or four answers is right of a subtitled clip? (Lei et al., Li et al.)

The files of VALUE (Li et al. 2021, arXiv:2106.04632), JSON lines:

    ann/tvqa/tvqa_train.jsonl, tvqa_val, tvqa_test_public, tvqa_test_release    {"qid": 122039, "q": "What is
        Janice holding on to?", "a0": "Chandler's tie", ..., "a4": "Her hat", "answer_idx": 2, "ts":
        "76.01-84.2", "vid_name": "friends_s02e05_seg02_clip_03", "show_name": "Friends"}
    ann/tv_subtitles.jsonl
    ann/how2qa/how2qa_train_release.jsonl, how2qa_val_release, how2qa_test_public_release    the same with
        a0 to a3, without show_name
    ann/how2_subtitles.jsonl
    videos/tv/<vid_name>.mp4, videos/how2/<vid_name>.mp4

The test files of the leaderboard have no answer_idx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import first_seen, take
from data_modules.formats.named_clips import NamedClips
from data_modules.formats.value import Subtitled, check_moment, found_splits, split_rows


@dataclass(frozen=True, kw_only=True)
class ValueChoices:
    """Reads multiple-choice questions about clips.

    Args:
        folder: of the annotations, below the data folder.
        num_choices: how many answers a question offers.
        names: split word -> NAMES of its files, read one after the other; any other word is a NAME itself.
        subtitles: the file of subtitles, below the data folder; None: rows have none.
        clip_folders: where clips are looked for, in order, without suffix; {vid_name} is filled from the row.
        unanswered: accept rows without answer_idx (the leaderboard's test files).
    """

    folder: str
    num_choices: int
    names: Mapping[str, Sequence[str]]
    subtitles: str | None
    clip_folders: Sequence[str]
    unanswered: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's questions in file order.

        A row holds the official fields, subtitles (a tuple of {"text", "start", "end"}) and frames (the whole
        clip).

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected.
        """
        root = Path(root)
        given = split_rows(root, self.folder, split, self.names)
        clips = NamedClips(root, self.clip_folders, ("vid_name",))
        subtitled = Subtitled(root, self.subtitles, split)
        seen: dict[int | str, str] = {}
        for row, where in given:
            first_seen(seen, _identity(row, where), "qid", where)
            self._check(row, where)
            name = take(row, "vid_name", str, where)
            yield {**row, "subtitles": subtitled.of(name), "frames": clips.find({"vid_name": name})}, where
        subtitled.report()

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words of which the folder holds every file."""
        return found_splits(root, self.folder, self.names)

    def _check(self, row: dict[str, Any], where: str) -> None:
        for name in ("q", *(f"a{i}" for i in range(self.num_choices))):
            take(row, name, str, where)
        check_moment(row, where)
        if "answer_idx" not in row:
            if not self.unanswered:
                raise ValueError(
                    f"{where}: the field 'answer_idx' is missing; set data.files.unanswered=true to read "
                    "questions without answers"
                )
        elif not 0 <= take(row, "answer_idx", int, where) < self.num_choices:
            raise ValueError(
                f"{where}: 'answer_idx' must lie in 0..{self.num_choices - 1}, got {row['answer_idx']}"
            )


def _identity(row: Mapping[str, Any], where: str) -> int | str:
    return take(row, "qid", str if isinstance(row.get("qid"), str) else int, where)


@dataclass(frozen=True, kw_only=True)
class TVQA(ValueChoices):
    """Reads TVQA; `submit` are both test files of the leaderboard."""

    folder: str = "ann/tvqa"
    num_choices: int = 5
    names: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {
            "train": ("tvqa_train",),
            "val": ("tvqa_val",),
            "test": ("tvqa_test_public",),
            "submit": ("tvqa_test_public", "tvqa_test_release"),
        }
    )
    subtitles: str | None = "ann/tv_subtitles.jsonl"
    clip_folders: Sequence[str] = ("videos/tv/{vid_name}", "videos/{vid_name}")


@dataclass(frozen=True, kw_only=True)
class How2QA(ValueChoices):
    """Reads How2QA."""

    folder: str = "ann/how2qa"
    num_choices: int = 4
    names: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {
            "train": ("how2qa_train_release",),
            "val": ("how2qa_val_release",),
            "test": ("how2qa_test_public_release",),
        }
    )
    subtitles: str | None = "ann/how2_subtitles.jsonl"
    clip_folders: Sequence[str] = ("videos/how2/{vid_name}", "videos/{vid_name}")
