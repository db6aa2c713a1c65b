"""Conversations in the file of LLaVA-1.5's instruction tuning (Liu et al. 2024, arXiv:2310.03744).

    llava_v1_5_mix665k.json    [{"id": "000000033471", "image": "coco/train2017/000000033471.jpg",
        "conversations": [{"from": "human", "value": "<image>\\nWhat are the colors of the bus?"},
                          {"from": "gpt", "value": "The bus is white and red."}, ...]}, ...]

`image` is a path, a list of paths, or absent. Ids are not unique in the official file. A split word followed
by `:answers` (`val:answers`) has one row an answer, with the conversation up to there: what can be scored.
Where there is no file of val, a share of train's rows is kept apart for it, chosen by picture.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root
from data_modules.formats.vl_adapter import json_list
from vl_dora.batch import ImageRef

ANSWERS = ":answers"


@dataclass(frozen=True)
class LlavaConversations:
    """Reads a JSON list of conversations a split.

    Args:
        names: split word -> file in the data folder.
        annotations: another file for train, relative to the data folder or absolute; None: as in `names`.
        held_share: of train's rows kept apart as val where val has no file, 0 to 1.

    Raises:
        ValueError: `held_share` outside 0..1.
    """

    names: Mapping[str, str] = field(
        default_factory=lambda: {
            "train": "llava_v1_5_mix665k.json",
            "val": "llava_val.json",
            "test": "llava_test.json",
        }
    )
    annotations: str | None = None
    held_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.held_share < 1:
            raise ValueError(f"data.files.held_share={self.held_share} must be at least 0 and below 1")

    def splits(self, root: Path) -> tuple[str, ...]:
        """Split words whose files are there, each also with `:answers`."""
        root = data_root(root)
        found = [word for word in self.names if self._file(root, word).is_file()]
        if "train" in found and self.held_share and "val" not in found:
            found.append("val")
        return (*found, *(f"{word}{ANSWERS}" for word in found))

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's rows in file order.

        A row holds row (its number), id, images, and conversations as they are written, whatever they are;
        under `:answers` also turn (the answer's number), the conversations ending there.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: not a list of objects, or a picture that is no path.
        """
        root, word = data_root(root), split.removesuffix(ANSWERS)
        if word not in self.names:
            allowed = ", ".join([*self.names, *(f"{name}{ANSWERS}" for name in self.names)])
            raise ValueError(f"split {split!r} is unknown; allowed: {allowed}")
        path, held = self._source(root, word)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; it holds the conversations of split {word} (data.files.annotations "
                "names another file for train)"
            )
        for number, (row, where) in enumerate(json_list(path), start=1):
            if held is not None and self._is_held(row) is not held:
                continue
            fields = {"row": number, "id": str(row.get("id", number)), "images": _images(row, where)}
            messages = row.get("conversations")
            if not split.endswith(ANSWERS) or not isinstance(messages, list):
                # Without a list of messages the task refuses the row, and others after it are read.
                yield {**fields, **{k: row[k] for k in ("conversations",) if k in row}}, where
                continue
            for turn in range(1, max(1, len(messages) // 2) + 1):
                yield {**fields, "turn": turn, "conversations": messages[: 2 * turn]}, where

    def _file(self, root: Path, word: str) -> Path:
        named = self.annotations if word == "train" and self.annotations else self.names[word]
        return root / Path(named).expanduser()

    def _source(self, root: Path, word: str) -> tuple[Path, bool | None]:
        """The file of a split, and whether its held rows are meant (True), the others, or all (None)."""
        path = self._file(root, word)
        if not self.held_share or (root / self.names["val"]).is_file():
            return path, None
        if word == "val":
            return self._file(root, "train"), True
        return path, False if word == "train" else None

    def _is_held(self, row: Mapping[str, Any]) -> bool:
        """The same for all rows of a picture, so that no picture is on both sides."""
        key = str(row.get("image") or row.get("id"))
        return zlib.crc32(key.encode()) < self.held_share * 2**32


def _images(row: Mapping[str, Any], where: str) -> tuple[ImageRef, ...]:
    given = row.get("image")
    paths = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
        raise ValueError(f"{where}: 'image' must be a path or a list of paths, got {str(given)[:60]!r}")
    return tuple(ImageRef(path) for path in paths)
