"""Features in one file a picture or clip, named like it: VL-Adapter's h5, VALUE's npz.

Shapes: N visual tokens of a picture or T frames of a clip, F features.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vl_dora.batch import ClipRef, ImageRef

DTYPES = (np.float16, np.float32)


class FeaturesByName(ABC):
    """Arrays (N, F), float16 or float32, each named by a picture or clip without folder and suffix.

    A clip's array (T, F) is that of all its frames in order, as whoever stored it chose them: the
    network sees it as one picture of T tokens.

    Args:
        folder: the config key is `data.features`.

    Attributes:
        shape: (N, F) of one of the arrays; others may have another N.

    Raises:
        ValueError: the folder holds nothing usable.
    """

    shape: tuple[int, int]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def holds(self, name: str) -> bool:
        """Whether there are features of that name; cheap."""

    @abstractmethod
    def read(self, name: str) -> np.ndarray:
        """The array of a name that is there."""

    def check(self, ref: ImageRef | ClipRef) -> None:
        """Raises ValueError when there are no features of this picture or clip."""
        self._name(ref)

    def load(self, ref: ImageRef) -> np.ndarray:
        """(N, F) features of one picture, in the stored dtype."""
        return self._read(ref)

    def load_clip(self, ref: ClipRef) -> tuple[ClipRef, np.ndarray]:
        """The clip, its frames unknown, and (1, T, F)."""
        return replace(ref, indices=None, times=None), self._read(ref)[None]

    def _read(self, ref: ImageRef | ClipRef) -> np.ndarray:
        array = self.read(self._name(ref))
        if array.ndim != 2 or array.dtype not in DTYPES or array.shape[1] != self.shape[1] or not len(array):
            raise ValueError(
                f"data.features={self.folder}: features of {ref.path} are {array.dtype} {array.shape}; "
                f"float16 or float32 (N, {self.shape[1]}) is needed"
            )
        return array

    def _name(self, ref: ImageRef | ClipRef) -> str:
        part = (ref.crop, ref.index) if isinstance(ref, ImageRef) else (ref.start, ref.end)
        if part != (None, None):
            raise ValueError(
                f"data.features={self.folder} holds features of whole files, not of a part of {ref.path}"
            )
        # A name may have dots of its own and no suffix: clips of TVQA, for instance.
        whole = Path(ref.path).name
        for name in (whole, Path(whole).stem):
            if self.holds(name):
                return name
        raise ValueError(f"data.features={self.folder} has no features of {ref.path}")


class FilePerName(FeaturesByName):
    """A file for each name, in the folder or in one of its subfolders.

    Args:
        folder: the config key is `data.features`.
    """

    suffix = ""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        first = next(files_of(folder, self.suffix), None)
        assert first is not None
        self.shape = (0, 0)
        array = self._open(first, first.name.removesuffix(self.suffix))
        if array.ndim != 2:
            raise ValueError(f"{first} holds features of shape {array.shape}; (N, F) is needed")
        self.shape = (int(array.shape[0]), int(array.shape[1]))

    def holds(self, name: str) -> bool:
        """Whether the file is there."""
        return self._path(name) is not None

    def read(self, name: str) -> np.ndarray:
        """The array in the file.

        Raises:
            ValueError: the file is damaged, or holds no features under its name.
        """
        path = self._path(name)
        assert path is not None
        return self._open(path, name)

    def _path(self, name: str) -> Path | None:
        paths = (folder / f"{name}{self.suffix}" for folder in self._folders)
        return next((path for path in paths if path.is_file()), None)

    def _open(self, path: Path, name: str) -> np.ndarray:
        try:
            return self._array(path, name)
        except KeyError as error:
            raise ValueError(f"{path} holds no features under {error}") from None
        except Exception as error:  # noqa: BLE001 - readers of damaged files raise all sorts of errors
            raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None

    def _array(self, path: Path, name: str) -> np.ndarray:
        raise NotImplementedError


class H5Files(FilePerName):
    """VL-Adapter's: `<img_id>.h5` with the data set `<img_id>/features`, (49, 2048) float16."""

    suffix = ".h5"

    def __init__(self, folder: Path) -> None:
        _require("h5py")
        super().__init__(folder)

    def _array(self, path: Path, name: str) -> np.ndarray:
        import h5py

        # Opened for each read: a handle must not cross into a loader worker.
        with h5py.File(path, "r") as file:
            key = f"{name}/features"
            if key not in file:
                raise KeyError(key)
            return np.asarray(file[key][()])


class NpzFiles(FilePerName):
    """VALUE's: `<vid_name>.npz` with the array `features`, (T, 512)."""

    suffix = ".npz"

    def _array(self, path: Path, name: str) -> np.ndarray:
        with np.load(path, allow_pickle=False) as file:
            if "features" not in file:
                raise KeyError("features")
            return file["features"]


def files_of(folder: Path, suffix: str) -> Iterator[Path]:
    """Files with that suffix in the folder and its subfolders, found one by one."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffix) and entry.is_file():
                yield Path(entry.path)
            elif entry.is_dir():
                inner.append(Path(entry.path))
    for path in sorted(inner):
        with os.scandir(path) as entries:
            yield from (Path(e.path) for e in entries if e.name.endswith(suffix) and e.is_file())


def _require(package: str) -> Any:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise ValueError(
            f"data.features needs {package} for these files; install it with: pip install 'vl-dora[features]'"
        )
