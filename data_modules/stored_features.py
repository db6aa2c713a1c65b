"""Features of pictures and clips, computed once by a frozen tower and stored.

A folder with `features.npy`, (n, N, F) float16 or float32, mapped and read by row, and `index.json`:
{"tower": name, "rows": {key: row},
 "clips": {key: {"first": row, "indices": [...], "times": [...]}}, "left_out": {path: reason}}
A picture's key is its path in the data folder, with its crop or array index where it has one; a clip's
names its part and its count or rate, and its frames lie in rows one after the other.
Shapes: n pictures and frames, N visual tokens, F features.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data_modules.clips import ClipSettings, clip_key
from vl_dora.batch import ClipRef, ImageRef

FEATURES, INDEX = "features.npy", "index.json"


def feature_key(ref: ImageRef) -> str:
    """What names one picture in the index, for instance `images/7.png#crop=0,0,100,100`."""
    key = ref.path
    if ref.index is not None:
        key += f"#index={ref.index}"
    if ref.crop is not None:
        key += "#crop=" + ",".join(map(str, ref.crop))
    return key


def write_features(
    folder: Path | str,
    features: Iterable[tuple[ImageRef, np.ndarray]],
    *,
    tower: str,
    dtype: str = "float16",
) -> Path:
    """Writes a folder of features; it appears whole or not at all.

    Args:
        folder: must not exist, or be empty.
        features: pictures with their (N, F) features, all of one shape; read one by one.
        tower: name of the network that made them, kept in the index.
        dtype: float16 or float32.

    Raises:
        ValueError: nothing to write, shapes differ, a picture comes twice, or a value does not
            fit the dtype; FileExistsError: the folder is not empty.
    """
    folder = Path(folder)
    if dtype not in ("float16", "float32"):
        raise ValueError(f"features are stored as float16 or float32, not {dtype}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not an empty folder; remove it or name another")
    folder.parent.mkdir(parents=True, exist_ok=True)
    drafted = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".tmp", dir=folder.parent))
    try:
        rows = _write_array(drafted / FEATURES, features, np.dtype(dtype))
        index = {"tower": tower, "rows": rows}
        (drafted / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        drafted.chmod(0o755)
        os.replace(drafted, folder)
    except BaseException:
        shutil.rmtree(drafted, ignore_errors=True)
        raise
    return folder


def _write_array(
    path: Path, features: Iterable[tuple[ImageRef, np.ndarray]], dtype: np.dtype
) -> dict[str, int]:
    rows: dict[str, int] = {}
    shape: tuple[int, ...] | None = None
    with path.open("w+b") as file:
        for ref, array in features:
            key = feature_key(ref)
            with np.errstate(over="ignore"):
                stored = np.ascontiguousarray(array, dtype=dtype)
            if shape is None:
                shape = stored.shape
                if len(shape) != 2:
                    raise ValueError(f"features of {key} have shape {shape}; (N, F) is needed")
                body = write_header(file, (0, *shape), dtype)
            require_fit(key, key in rows, stored, shape)
            file.write(stored.tobytes())
            rows[key] = len(rows)
        if shape is None:
            raise ValueError("there are no features to write")
        file.seek(0)
        # numpy leaves room in the header for the first axis to grow.
        grown = write_header(file, (len(rows), *shape), dtype)
        assert grown == body
    return rows


def require_fit(key: str, given: bool, stored: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises ValueError for a key given twice, another shape than `shape`, or values that are not finite."""
    if given:
        raise ValueError(f"features of {key} are given twice")
    if stored.shape != shape:
        raise ValueError(f"features of {key} have shape {stored.shape}, those before have {shape}")
    if not np.isfinite(stored).all():
        raise ValueError(f"features of {key} hold values that are not finite in {stored.dtype}")


def write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Writes the header of a .npy file at the file's position; gives the position behind it."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


class StoredFeatures:
    """Reads a folder that `write_features` made; rows are mapped, not held in memory.

    Args:
        folder: with `features.npy` and `index.json`; the config key is `data.features`.
        clips: how many frames of a clip are wanted; they must have been stored so.

    Attributes:
        tower: name of the network that made the features.
        shape: (N, F).

    Raises:
        ValueError: a file of the folder is missing or unfit.
    """

    def __init__(self, folder: Path | str, clips: ClipSettings | None = None) -> None:
        self.folder = Path(folder).expanduser()
        self.settings = clips or ClipSettings()
        for name in (FEATURES, INDEX):
            if not (self.folder / name).is_file():
                raise ValueError(
                    f"data.features={self.folder} holds no {name}; make it with tools/extract_features"
                )
        try:
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
            self.tower, self._rows = str(index["tower"]), {str(k): int(v) for k, v in index["rows"].items()}
            self._clips = {str(k): _StoredClip.of(v) for k, v in index.get("clips", {}).items()}
            self._left_out = {str(k): str(v) for k, v in index.get("left_out", {}).items()}
            array = self._array()
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError) as error:
            raise ValueError(
                f"data.features={self.folder} is damaged: {type(error).__name__}: {error}"
            ) from None
        if array.ndim != 3 or array.dtype not in (np.float16, np.float32):
            raise ValueError(
                f"{self.folder / FEATURES} holds {array.dtype} {array.shape}; float16 or float32 (n, N, F) "
                "is needed"
            )
        frames = [
            row for clip in self._clips.values() for row in range(clip.first, clip.first + len(clip.times))
        ]
        if sorted([*self._rows.values(), *frames]) != list(range(len(array))):
            raise ValueError(
                f"{self.folder / INDEX} names rows that do not fit the {len(array)} of {FEATURES}"
            )
        self.shape = (int(array.shape[1]), int(array.shape[2]))

    def _array(self) -> np.ndarray:
        """The memory map, opened once a process."""
        opened = self.__dict__.get("_opened")
        if opened is None:
            opened = self._opened = np.load(self.folder / FEATURES, mmap_mode="r", allow_pickle=False)
        return opened

    def __getstate__(self) -> dict:
        """Everything but the map, which a loader worker opens itself."""
        return {k: v for k, v in self.__dict__.items() if k != "_opened"}

    def check(self, ref: ImageRef | ClipRef) -> None:
        """Raises ValueError when the folder has no features of this picture or clip."""
        key = feature_key(ref) if isinstance(ref, ImageRef) else clip_key(self.settings.settled(ref))
        if key not in (self._rows if isinstance(ref, ImageRef) else self._clips):
            why = self._left_out.get(ref.path)
            raise ValueError(
                f"data.features={self.folder} has no features of {key} (it holds {len(self._rows)} pictures "
                f"and {len(self._clips)} clips of tower {self.tower})"
                + (f"; it was left out because {why}" if why else "")
            )

    def load(self, ref: ImageRef) -> np.ndarray:
        """(N, F) features of one picture, in the stored dtype."""
        self.check(ref)
        return np.array(self._array()[self._rows[feature_key(ref)]])

    def load_clip(self, ref: ClipRef) -> tuple[ClipRef, np.ndarray]:
        """The clip with indices and times, and (n, N, F) features of its frames."""
        self.check(ref)
        settled = self.settings.settled(ref)
        clip = self._clips[clip_key(settled)]
        array = np.array(self._array()[clip.first : clip.first + len(clip.times)])
        return replace(settled, indices=clip.indices, times=clip.times), array


@dataclass(frozen=True)
class _StoredClip:
    first: int
    indices: tuple[int, ...]
    times: tuple[float, ...]

    @classmethod
    def of(cls, entry: dict) -> _StoredClip:
        return cls(int(entry["first"]), tuple(entry["indices"]), tuple(entry["times"]))
