"""`open_features`: which reader a folder of stored features is for, told by what is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_modules.clips import ClipSettings
from data_modules.features.by_name import H5Files, NpzFiles, files_of
from data_modules.features.parquet import ParquetShards
from data_modules.stored_features import FEATURES, INDEX, StoredFeatures

READERS: dict[str, Callable[[Path], Any]] = {".h5": H5Files, ".npz": NpzFiles, ".parquet": ParquetShards}


def open_features(folder: Path | str, clips: ClipSettings | None = None) -> Any:
    """The reader of the folder's format: it has `shape`, `check`, `load` and `load_clip`.

    Args:
        folder: made by tools/extract_features.py (features.npy and index.json); or `<img_id>.h5`
            files (VL-Adapter), `<vid_name>.npz` files (VALUE) or parquet shards, which may lie one
            folder deeper; the config key is `data.features`.
        clips: how many frames of a clip are wanted, which features.npy must have been made with; other
            formats hold what they hold.

    Raises:
        ValueError: no such folder, nothing that is known in it, several formats at once, or what
            the reader refuses.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ValueError(f"data.features={folder} is not a folder")
    if (path / FEATURES).is_file() or (path / INDEX).is_file():
        return StoredFeatures(path, clips)
    found = [suffix for suffix in READERS if next(files_of(path, suffix), None) is not None]
    if len(found) != 1:
        what = f"files of several formats ({', '.join(found)})" if found else "no stored features"
        raise ValueError(
            f"data.features={folder} holds {what}; it must hold {FEATURES} with {INDEX} "
            f"(tools/extract_features.py), or files of one of {', '.join(READERS)}"
        )
    return READERS[found[0]](path)
