"""TVC and YC2C: what happens in a moment of a show, or in a step of a recipe? (Lei et al., Zhou et al.)

The files of VALUE (Li et al. 2021, arXiv:2106.04632), JSON lines:

    ann/tvc/tvc_train_release.jsonl, tvc_val_release, tvc_test_release    {"vid_name":
        "friends_s01e03_seg02_clip_19", "duration": 61.46, "ts": [16.48, 33.87], "clip_id": 88532, "descs":
        [{"desc": "Chandler says goodbye.", "desc_id": 109434, "type": "vt"}, ...]}
    ann/tv_subtitles.jsonl
    ann/yc2c/yc2c_train_release.jsonl, yc2c_val_release, yc2c_test_release    the same; a clip is a step
    ann/yc2_subtitles.jsonl
    videos/tv/<vid_name>.mp4, videos/yc2/<vid_name>.mp4

The leaderboard's test files have no descs. `train` has one row a caption; every other split has one row a
clip with all its captions, as has `train:clips`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, first_seen, take
from data_modules.formats.named_clips import NamedClips
from data_modules.formats.value import Subtitled, check_moment, found_splits, split_rows

CLIPS = "train:clips"


@dataclass(frozen=True, kw_only=True)
class ValueCaptions:
    """Reads captions of clips.

    Args:
        folder: of the annotations, below the data folder.
        names: split word -> NAMES of its files; any other word is a NAME itself.
        subtitles: the file of subtitles, below the data folder; None: rows have none.
        clip_folders: where clips are looked for, in order, without suffix; {vid_name} is filled from the row.
        unanswered: accept rows without descs (the leaderboard's test files).
        single_reference: one row a caption in every split, so that a caption is scored against one of the
            people who wrote for its clip; the reference's fault.
    """

    folder: str
    names: Mapping[str, Sequence[str]]
    subtitles: str | None
    clip_folders: Sequence[str]
    unanswered: bool = False
    single_reference: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's captions, or clips, in file order.

        A row holds vid_name, ts, duration and clip_id where the file has them, captions (one of `train`, all
        of a clip else), subtitles (a tuple of {"text", "start", "end"}), frames (the whole clip), and for a
        row of one caption caption_id.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected.
        """
        root = Path(root)
        word = "train" if split == CLIPS else split
        given = split_rows(root, self.folder, word, self.names)
        clips = NamedClips(root, self.clip_folders, ("vid_name",))
        subtitled = Subtitled(root, self.subtitles, split)
        seen: dict[Any, str] = {}
        descriptions: dict[int, str] = {}
        for row, where in given:
            name = take(row, "vid_name", str, where)
            check_moment(row, where)
            if "clip_id" in row:
                first_seen(seen, take(row, "clip_id", int, where), "clip_id", where)
            captions = self._captions(row, where, descriptions)
            fields: dict[str, Any] = {
                **{key: row[key] for key in ("vid_name", "clip_id", "ts", "duration") if key in row},
                "subtitles": subtitled.of(name),
                "frames": clips.find({"vid_name": name}),
            }
            if captions and (split == "train" or self.single_reference):
                for number, text in captions:
                    yield {**fields, "caption_id": number, "captions": [text]}, where
            else:
                yield {**fields, "captions": [text for _, text in captions]}, where
        subtitled.report()

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words of which the folder holds the files."""
        found = found_splits(root, self.folder, self.names)
        return (*found, CLIPS) if "train" in found else found

    def _captions(self, row: dict[str, Any], where: str, seen: dict[int, str]) -> list[tuple[int, str]]:
        """(desc_id, text) of a row's captions, in order."""
        if "descs" not in row:
            if not self.unanswered:
                raise ValueError(
                    f"{where}: the field 'descs' is missing; set data.files.unanswered=true to read clips "
                    "without captions"
                )
            return []
        found = []
        for place, value in enumerate(take(row, "descs", list, where), start=1):
            inside = f"{where}, desc {place}"
            description = as_object(value, inside)
            number = take(description, "desc_id", int, inside)
            first_seen(seen, number, "desc_id", inside)
            text = take(description, "desc", str, inside).strip()
            if not text:
                raise ValueError(f"{inside}: 'desc' is an empty caption")
            found.append((number, text))
        if not found:
            raise ValueError(f"{where}: 'descs' is an empty list; expected captions")
        return found


@dataclass(frozen=True, kw_only=True)
class TVC(ValueCaptions):
    """Reads TVC."""

    folder: str = "ann/tvc"
    names: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {word: (f"tvc_{word}_release",) for word in ("train", "val", "test")}
    )
    subtitles: str | None = "ann/tv_subtitles.jsonl"
    clip_folders: Sequence[str] = ("videos/tv/{vid_name}", "videos/{vid_name}")


@dataclass(frozen=True, kw_only=True)
class YC2C(ValueCaptions):
    """Reads YouCook2 captions."""

    folder: str = "ann/yc2c"
    names: Mapping[str, Sequence[str]] = field(
        default_factory=lambda: {word: (f"yc2c_{word}_release",) for word in ("train", "val", "test")}
    )
    subtitles: str | None = "ann/yc2_subtitles.jsonl"
    clip_folders: Sequence[str] = ("videos/yc2/{vid_name}", "videos/{vid_name}")
