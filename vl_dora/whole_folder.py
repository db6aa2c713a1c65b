"""A folder that is either whole or not there."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write to, renamed to `out` when the block ends without an error.

    Raises:
        ValueError: `out` is there and not an empty folder, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"out={out} is there already; name a folder that is new or empty")
    draft = out.parent / f".{out.name}.{uuid.uuid4().hex}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
    except OSError as error:
        raise ValueError(f"out={out} cannot be written: {error.strerror}") from None
    try:
        yield draft
        if out.exists():
            out.rmdir()
        os.rename(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
