"""Embedded worlds, drawn once into a cache folder and found there ever after.

The folder's name holds a digest of the drawing function's arguments and of the Python files
beside it, so that a changed argument or a changed drawing never meets old pictures.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def drawn_world(write: Callable[..., Any], cache_dir: Path | str) -> Path:
    """The folder of the world that `write` draws; drawn now if it is not there yet.

    Two processes may ask at once: each draws into a folder of its own, the first to finish
    gives it the final name, the other throws its copy away.

    Args:
        write: `write(folder)`, usually a `functools.partial` of `data_modules.scenes.<name>.write`.
        cache_dir: `~` is expanded; made when missing; the config key is `paths.cache_dir`.

    Raises:
        ValueError: `cache_dir` cannot be written to.
    """
    cache = Path(cache_dir).expanduser().absolute()
    folder = cache / world_name(write)
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        drafted = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".tmp", dir=cache))
    except OSError as error:
        raise ValueError(
            f"paths.cache_dir={cache} cannot be written to ({error.strerror}); name another folder, on the "
            "command line or with VL_DORA_CACHE"
        ) from None
    started = time.monotonic()
    log.info("drawing the embedded world into %s", folder)
    try:
        write(drafted)
        drafted.chmod(0o755)
        _claim(drafted, folder)
    finally:
        shutil.rmtree(drafted, ignore_errors=True)
    log.info("drew the embedded world in %.0f s", time.monotonic() - started)
    return folder


def _claim(drafted: Path, folder: Path) -> None:
    """Renames `drafted` to `folder`, unless another process was first."""
    try:
        os.rename(drafted, folder)
    except OSError:
        if not folder.is_dir():
            raise


def world_name(write: Callable[..., Any]) -> str:
    """`<module>-<digest>`, the same in every process and on every machine."""
    function = write.func if isinstance(write, functools.partial) else write
    keywords = write.keywords if isinstance(write, functools.partial) else {}
    signature = inspect.signature(function)
    defaults = {k: p.default for k, p in signature.parameters.items() if p.default is not p.empty}
    given = {**defaults, **keywords}
    digest = hashlib.sha256(function.__qualname__.encode())
    digest.update(json.dumps(given, sort_keys=True, default=str).encode())
    digest.update(_sources_beside(Path(inspect.getfile(function))))
    return f"{function.__module__.rpartition('.')[2]}-{digest.hexdigest()[:12]}"


@functools.cache
def _sources_beside(file: Path) -> bytes:
    """A digest of the Python files in the folder of `file`, as they are when it is first asked for.

    Read again, it would name an edit that the process, which imported the files before, does not draw by.
    """
    digest = hashlib.sha256()
    for source in sorted(file.parent.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.digest()
