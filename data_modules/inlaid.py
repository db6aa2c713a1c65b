"""Pictures that lie inside a table, written into a cache folder once and read as files ever after."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from vl_dora.batch import ImageRef

_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp"}


class InlaidPictures:
    """Gives every picture a file named by its content, so that the same bytes are one file.

    A file is there whole or not at all, and is never written twice; several processes may do this at once.

    Args:
        folder: made when missing; `~` is expanded.

    Raises:
        ValueError: the folder cannot be made.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser().absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(self._unwritable(error)) from None

    def add(self, data: bytes) -> ImageRef:
        """The picture of these bytes, by its absolute path; its content is not looked at.

        Raises:
            ValueError: the folder cannot be written to.
        """
        suffix = next((s for head, s in _SUFFIXES.items() if data.startswith(head)), ".picture")
        path = self.folder / f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
        if not path.is_file():
            try:
                self._write(path, data)
            except OSError as error:
                raise ValueError(self._unwritable(error)) from None
        return ImageRef(str(path))

    def _write(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> str:
        return (
            f"paths.cache_dir: {self.folder} cannot be written to ({error.strerror}); name another folder, "
            "on the command line or with VL_DORA_CACHE"
        )
