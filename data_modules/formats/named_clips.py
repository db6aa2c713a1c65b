"""Where the video files of a data set lie, found by name and with whatever suffix they have."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter

from vl_dora.batch import ClipRef

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")


class NamedClips:
    """Finds clips with one listing a folder.

    Args:
        root: the data folder.
        patterns: paths below it without suffix, such as `videos/tv/{vid_name}`, tried in order.
        fields: what may stand in braces.

    Raises:
        ValueError: there is no pattern, or one names another field or none.
    """

    def __init__(self, root: Path, patterns: Sequence[str], fields: Sequence[str]) -> None:
        self.root = root
        self.patterns = tuple(patterns)
        self._listed: dict[str, frozenset[str]] = {}
        allowed = ", ".join(f"{{{name}}}" for name in fields)
        if not self.patterns:
            raise ValueError(f"data.files.clip_folders is empty; give patterns with one of {allowed}")
        for pattern in self.patterns:
            named = {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
            if not named or not named <= set(fields):
                raise ValueError(f"data.files.clip_folders: {pattern!r} must name the clip by {allowed}")

    def find(self, names: Mapping[str, object]) -> ClipRef:
        """The clip at the first pattern that leads to a file; else the first pattern's .mp4.

        A clip that is nowhere is for the loader to report, or lies in stored features, which go by its name.
        """
        filled = [p.format(**names) for p in self.patterns if _is_told(p, names)]
        for path in filled:
            folder, _, stem = path.rpartition("/")
            for suffix in SUFFIXES:
                if f"{stem}{suffix}" in self._names(folder):
                    return ClipRef(f"{path}{suffix}")
        return ClipRef(f"{filled[0]}{SUFFIXES[0]}")

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listed:
            path = self.root / folder
            self._listed[folder] = frozenset(os.listdir(path) if path.is_dir() else ())
        return self._listed[folder]


def _is_told(pattern: str, names: Mapping[str, object]) -> bool:
    return all(name in names for _, name, _, _ in Formatter().parse(pattern) if name is not None)
