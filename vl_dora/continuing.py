"""Going on with what is there: a run that was cut off, a sweep whose trials are partly done."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.run_directory import CHECKPOINTS, CONFIG, FAILURE, read_config

log = logging.getLogger(__name__)

# What a run may change without being another: where it lies, what it goes on from, who asked for it.
_FREE = ("paths.", "logger.", "hydra.", "trial.", "checkpoint.")
_FREE_WORDS = frozenset({"ckpt_path", "trial", "trainer.enable_progress_bar", "data.num_workers"})
_SHOWN = 4
# Full, over quota, file too large, read-only, not allowed, broken disk.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


def finished_trial(run_dir: Path, config: DictConfig) -> dict[str, Any] | None:
    """The results of a sweep's trial that an earlier, interrupted sweep finished; None: there is work left.

    Raises:
        ValueError: the folder holds a trial of other settings.
    """
    from vl_dora.reports.results import read_results

    if not (run_dir / CONFIG).is_file():
        return None
    changes = changed_settings(run_dir, config)
    if changes:
        raise ValueError(
            f"{run_dir} holds a trial of another sweep, which differs in {shortened(changes)}; "
            "name another folder by paths.run_dir"
        )
    if (run_dir / FAILURE).is_file():
        stopped = json.loads((run_dir / FAILURE).read_text(encoding="utf-8"))
        return stopped if stopped.get("kind") == "pruned" else None
    # Written last, so whoever has it has everything.
    return read_results(run_dir) if (run_dir / "results.json").is_file() else None


def changed_settings(run_dir: Path, config: DictConfig) -> list[str]:
    """Settings in which a config differs from the one in a run directory, as `name: there -> here`."""
    there = _flat(OmegaConf.to_container(read_config(run_dir), resolve=True))
    here = _flat(OmegaConf.to_container(config, resolve=True))
    names = [name for name in {**there, **here} if there.get(name, _flat) != here.get(name, _flat)]
    return [
        f"{name}: {there.get(name, 'not set')} -> {here.get(name, 'not set')}"
        for name in names
        if not name.startswith(_FREE) and name not in _FREE_WORDS
    ]


def shortened(changes: list[str]) -> str:
    """A few of them, in one line."""
    return ", ".join(changes[:_SHOWN]) + (", ..." if len(changes) > _SHOWN else "")


@contextmanager
def disk_errors_told(run_dir: Path) -> Iterator[None]:
    """Turns a full or read-only disk into one sentence that says what is left and how to go on.

    Raises:
        ValueError: in place of the system's error.
    """
    from vl_dora.lightning_modules.checkpoint_files import CheckpointNotWritten

    try:
        yield
    except CheckpointNotWritten as error:
        raise ValueError(f"{error}; {_left(run_dir)}") from error
    except OSError as error:
        if error.errno not in _DISK:
            raise
        where = error.filename or run_dir
        raise ValueError(f"{where}: {error.strerror}; {_left(run_dir)}") from error


def _left(run_dir: Path) -> str:
    from vl_dora.lightning_modules.checkpoint_files import step_of

    last = run_dir / CHECKPOINTS / "last.ckpt"
    if not last.is_file():
        return f"no checkpoint was saved before in {run_dir}"
    return (
        f"{last} is whole and holds step {step_of(last)}: put the disk right and go on by "
        f"paths.run_dir={run_dir} ckpt_path=last"
    )


def _flat(given: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(given, Mapping) or not given:
        return {prefix.removesuffix("."): given}
    found: dict[str, Any] = {}
    for key, value in given.items():
        found |= _flat(value, f"{prefix}{key}.")
    return found
