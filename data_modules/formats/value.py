"""What the files of VALUE have in common: subtitles, moments, splits of several files (Li et al. 2021).

    tv_subtitles.jsonl    {"vid_name": "castle_s01e01_seg02_clip_00", "sub": [{"text": "Where is she?",
        "start": 0.12, "end": 1.9}, ...]} a line; how2_subtitles.jsonl and yc2_subtitles.jsonl likewise

Source: VALUE (arXiv:2106.04632) and its DataRelease, as VL-Adapter reads it (Sung et al. 2022).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, data_root, first_seen, json_lines, split_file, take

log = logging.getLogger(__name__)

Lines = tuple[dict[str, Any], ...]


def found_splits(root: Path, folder: str, names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The split words of which every file is in the folder."""
    root = data_root(root)
    return tuple(
        word
        for word, files in names.items()
        if files and all((root / folder / f"{name}.jsonl").is_file() for name in files)
    )


def split_rows(
    root: Path, folder: str, split: str, names: Mapping[str, Sequence[str]]
) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a split's files, file after file; a word that is none of `names` is a file's name.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a line is not a JSON object.
    """
    for name in names.get(split, (split,)):
        path = split_file(root, f"{folder}/{name}.jsonl", split, found_splits(root, folder, names))
        yield from json_lines(path)


def read_subtitles(root: Path, name: str) -> dict[str, Lines]:
    """The subtitles of every clip, in the order of time.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: a row is not as expected.
    """
    path = data_root(root) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"the subtitles {path} are missing; put the file there, name it by data.files.subtitles, or set "
            "that to null to read questions without subtitles"
        )
    found: dict[str, Lines] = {}
    seen: dict[str, str] = {}
    for row, where in json_lines(path):
        clip = take(row, "vid_name", str, where)
        first_seen(seen, clip, "vid_name", where)
        lines = [
            _line(value, f"{where}, line {n}") for n, value in enumerate(take(row, "sub", list, where), 1)
        ]
        found[clip] = tuple(sorted(lines, key=lambda line: line["start"]))
    return found


def _line(value: Any, where: str) -> dict[str, Any]:
    line = as_object(value, where)
    text = " ".join(take(line, "text", str, where).split())
    return {"text": text, "start": seconds(line, "start", where), "end": seconds(line, "end", where)}


def seconds(row: Mapping[str, Any], name: str, where: str) -> float:
    """A field that must be a time; ValueError otherwise."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where}: {name!r} must be a number of seconds, got {value!r}")
    return float(value)


def check_moment(row: Mapping[str, Any], where: str) -> None:
    """Checks `ts`, where a row has it: [start, end] in seconds, or TVQA's text "start-end".

    The text may read "nan-nan", as some rows of TVQA do.

    Raises:
        ValueError: it is neither.
    """
    if "ts" not in row:
        return
    ts = row["ts"]
    parts = ts.split("-") if isinstance(ts, str) else ts
    try:
        start, end = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise ValueError(
            f"{where}: 'ts' must be [start, end] in seconds or the text \"start-end\", got {ts!r}"
        ) from None
    if start < 0 or end < start:
        raise ValueError(f"{where}: 'ts' must be a start and a later end in seconds, got {ts!r}")


class Subtitled:
    """Adds subtitles to rows, and counts the clips that have none.

    Args:
        root: the data folder.
        name: of the file of subtitles; None: no row gets any.
        split: for the message.
    """

    def __init__(self, root: Path, name: str | None, split: str) -> None:
        self._known = None if name is None else read_subtitles(root, name)
        self._name = name
        self._split = split
        self._without: set[str] = set()
        self._with: set[str] = set()

    def of(self, clip: str) -> Lines:
        """The subtitles of a clip, none where the file has no row for it."""
        if self._known is None:
            return ()
        (self._with if clip in self._known else self._without).add(clip)
        return self._known.get(clip, ())

    def report(self) -> None:
        """Logs how many clips had no subtitles, and names the first."""
        if self._without:
            log.warning(
                "%d of %d clips of split %s have no subtitles in %s, such as %s",
                len(self._without),
                len(self._without) + len(self._with),
                self._split,
                self._name,
                min(self._without),
            )
