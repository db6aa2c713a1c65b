"""A folder of stored features that grows, and goes on where a killed process stopped.

The draft lies beside the folder as `.<name>.unfinished`: `features.npy` grows by rows, and after each
`save` the lines of `journal.jsonl` tell what is in it. What was written and not told is cut off on the
next start. `finish` makes the folder of `data_modules.stored_features` of it in one step.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.clips import clip_key
from data_modules.stored_features import FEATURES, INDEX, feature_key, require_fit, write_header
from vl_dora.batch import ClipRef, ImageRef

JOURNAL = "journal.jsonl"


class FeatureWriter:
    """Writes features of pictures and clips, row by row.

    Args:
        folder: what `finish` makes; must not exist, or be empty.
        tower: name of the network.
        dtype: float16 or float32.
        settings: whatever else the features depend on; a draft made with others is not gone on with.

    Attributes:
        done: paths that are in the draft already, features and what was left out.

    Raises:
        ValueError: a draft of other settings, or damaged, or one that another process writes to;
            FileExistsError: the folder is not empty.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        tower: str,
        dtype: str = "float16",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        if dtype not in ("float16", "float32"):
            raise ValueError(f"features are stored as float16 or float32, not {dtype}")
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise FileExistsError(f"{folder} is not an empty folder; remove it or name another")
        self.draft = self.folder.parent / f".{self.folder.name}.unfinished"
        self.dtype = np.dtype(dtype)
        self.head = {"tower": tower, "dtype": dtype, "settings": dict(settings or {})}
        self.rows: dict[str, int] = {}
        self.clips: dict[str, dict[str, Any]] = {}
        self.left_out: dict[str, str] = {}
        self.done: set[str] = set()
        self.num_rows = 0
        self._shape: tuple[int, ...] | None = None
        self._lines: list[dict[str, Any]] = []
        self.draft.mkdir(parents=True, exist_ok=True)
        self._journal = (self.draft / JOURNAL).open("a+b")
        self._array = (self.draft / FEATURES).open("a+b")
        try:
            self._claim()
            self._go_on()
        except BaseException:
            self.close()
            raise

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, F) of what was given; () before the first."""
        return self._shape or ()

    def add(self, ref: ImageRef, array: np.ndarray) -> None:
        """Takes the (N, F) features of a picture.

        Raises:
            ValueError: given before, of another shape than the others, or not finite in the dtype.
        """
        key = feature_key(ref)
        self._append(key, key in self.rows, np.asarray(array)[None])
        self._tell({"picture": key, "path": ref.path})

    def add_clip(self, ref: ClipRef, array: np.ndarray) -> None:
        """Takes the (n, N, F) features of a settled clip whose indices and times are filled in.

        Raises:
            ValueError: as `add`.
        """
        assert ref.indices is not None and ref.times is not None and len(ref.times) == len(array)
        key = clip_key(ref)
        self._append(key, key in self.clips, np.asarray(array))
        self._tell({"clip": key, "path": ref.path, "indices": ref.indices, "times": ref.times})

    def leave_out(self, path: str, reason: str) -> None:
        """Notes that there are no features of a file, and why."""
        self._tell({"left_out": path, "path": path, "reason": reason})

    def save(self) -> None:
        """Makes sure that all given so far outlives the process."""
        for file in (self._array, self._journal):
            if file is self._journal:
                file.write("".join(json.dumps(line) + "\n" for line in self._lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self._lines = []

    def close(self) -> None:
        """Closes the files; the draft stays."""
        self._array.close()
        self._journal.close()

    def finish(self) -> Path:
        """Makes the folder of the draft.

        Raises:
            ValueError: there is nothing in it.
        """
        self.save()
        if self._shape is None:
            raise ValueError("there are no features to write")
        self.close()
        with (self.draft / FEATURES).open("r+b") as file:
            # numpy leaves room in the header for the first axis to grow.
            write_header(file, (self.num_rows, *self._shape), self.dtype)
            os.fsync(file.fileno())
        index = {**self.head, "rows": self.rows, "clips": self.clips, "left_out": self.left_out}
        (self.draft / INDEX).write_text(json.dumps(index) + "\n", encoding="utf-8")
        (self.draft / JOURNAL).unlink()
        os.replace(self.draft, self.folder)
        return self.folder

    def discard(self) -> None:
        """Removes the draft."""
        self.close()
        shutil.rmtree(self.draft)

    def _append(self, key: str, given: bool, array: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(array, dtype=self.dtype)
        if stored.ndim != 3:
            raise ValueError(f"features of {key} have shape {array.shape[1:]}; (N, F) is needed")
        for row in stored:
            require_fit(key, given, row, self._shape or row.shape)
        if self._shape is None:
            self._shape = stored.shape[1:]
            write_header(self._array, (0, *self._shape), self.dtype)
            self._tell({"shape": self._shape}, count=False)
        self._array.write(stored.tobytes())

    def _tell(self, line: dict[str, Any], *, count: bool = True) -> None:
        self._lines.append(line)
        if count:
            self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        """One line of the journal into the index."""
        self.done.add(line["path"])
        if "picture" in line:
            self.rows[line["picture"]] = self.num_rows
            self.num_rows += 1
        elif "clip" in line:
            entry = {"first": self.num_rows, "indices": line["indices"], "times": line["times"]}
            self.clips[line["clip"]] = entry
            self.num_rows += len(line["times"])
        else:
            self.left_out[line["left_out"]] = line["reason"]

    def _go_on(self) -> None:
        """Reads the journal of a draft, or begins one; cuts off what the journal does not tell."""
        self._journal.seek(0)
        raw = self._journal.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        try:
            head, *lines = (json.loads(line) for line in whole.splitlines()) if whole else (self.head,)
            for line in lines:
                if "shape" in line:
                    self._shape = tuple(line["shape"])
                else:
                    self._take(line)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.draft} is damaged ({error!r}); remove it to begin anew") from None
        if head != json.loads(json.dumps(self.head)):
            raise ValueError(
                f"{self.draft} was begun with {json.dumps(head)}, not {json.dumps(self.head)}; go on with "
                "the same, or remove it to begin anew"
            )
        self._journal.truncate(len(whole))
        if not whole:
            self._lines.append(self.head)
        size = 0
        if self._shape is not None:
            with (self.draft / FEATURES).open("rb") as file:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)
                row = int(np.prod(self._shape)) * self.dtype.itemsize
                size = file.tell() + self.num_rows * row
        if (self.draft / FEATURES).stat().st_size < size:
            raise ValueError(f"{self.draft / FEATURES} is shorter than its journal says; remove the draft")
        self._array.truncate(size)
        self._array.seek(size)

    def _claim(self) -> None:
        """One process writes a draft; the lock goes when the process does, however it ends."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"another process is writing {self.draft}") from None
