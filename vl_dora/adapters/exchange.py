"""Swaps two directories in one step, so that a process killed at any moment leaves one or the other."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_AT_FDCWD = -100  # paths are relative to the working directory, or absolute
_RENAME_EXCHANGE = 2  # from linux/fs.h


def exchange(first: Path, second: Path) -> bool:
    """Swaps two directories of one file system; False, and nothing done, where the system cannot.

    Linux alone has the call (renameat2), and not every file system there supports it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # a C library older than the call
        return False
    paths = os.fsencode(first.absolute()), os.fsencode(second.absolute())
    return call(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0
