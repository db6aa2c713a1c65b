"""Features of pictures, computed once by a frozen tower and stored.

A folder with `features.npy`, (n, N, F) float16 or float32, and `index.json`:
{"tower": name, "rows": {key: row}}; a key is the picture's path in the data folder, with its crop
or array index where it has one.
Shapes: n pictures, N visual tokens, F features.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vl_dora.batch import ImageRef

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
                body = _write_header(file, (0, *shape), dtype)
            if key in rows or stored.shape != shape or not np.isfinite(stored).all():
                raise ValueError(_unfit(key, rows, stored, shape))
            file.write(stored.tobytes())
            rows[key] = len(rows)
        if shape is None:
            raise ValueError("there are no features to write")
        file.seek(0)
        # numpy leaves room in the header for the first axis to grow.
        grown = _write_header(file, (len(rows), *shape), dtype)
        assert grown == body
    return rows


def _unfit(key: str, rows: dict[str, int], stored: np.ndarray, shape: tuple[int, ...]) -> str:
    if key in rows:
        return f"features of {key} are given twice"
    if stored.shape != shape:
        return f"features of {key} have shape {stored.shape}, those before have {shape}"
    return f"features of {key} hold values that are not finite in {stored.dtype}"


def _write_header(file, shape: tuple[int, ...], dtype: np.dtype) -> int:  # noqa: ANN001
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


class StoredFeatures:
    """Reads a folder that `write_features` made; rows are mapped, not held in memory.

    Args:
        folder: with `features.npy` and `index.json`; the config key is `data.features`.

    Attributes:
        tower: name of the network that made the features.
        shape: (N, F).

    Raises:
        ValueError: a file of the folder is missing or unfit.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser()
        for name in (FEATURES, INDEX):
            if not (self.folder / name).is_file():
                raise ValueError(
                    f"data.features={self.folder} holds no {name}; make it with tools/extract_features"
                )
        try:
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
            self.tower, self._rows = str(index["tower"]), {str(k): int(v) for k, v in index["rows"].items()}
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
        if set(self._rows.values()) != set(range(len(array))):
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

    def check(self, ref: ImageRef) -> None:
        """Raises ValueError when the folder has no features of this picture."""
        if feature_key(ref) not in self._rows:
            raise ValueError(
                f"data.features={self.folder} has no features of {feature_key(ref)} "
                f"(it holds {len(self._rows)} pictures of tower {self.tower})"
            )

    def load(self, ref: ImageRef) -> np.ndarray:
        """(N, F) features of one picture, in the stored dtype."""
        self.check(ref)
        return np.array(self._array()[self._rows[feature_key(ref)]])
