"""A run's folder: where it lies, what it holds, and what makes a folder one.

config.yaml              the full config, enough to build the run again
audit.txt, audit.json    what trains
provenance.json          what it was started by: choices, command, seed, versions, git state, machine
checkpoints/             last.ckpt, best.ckpt
analysis/                what trained after single steps, where analysis.steps asks for it
results.json             and predictions.jsonl, submission/, curve.png, samples.html
failed.json              why it did not finish, while it has not
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)

CONFIG, CHECKPOINTS, ANALYSIS = "config.yaml", "checkpoints", "analysis"
FAILURE = "failed.json"
PROVENANCE = "provenance.json"
_FOLDERS = ("data.root", "data.features", "ckpt_path", "config")
_CHOSEN = "VL_DORA_CHOSEN_RUN_DIR"


def settle_paths(config: DictConfig) -> Path:
    """Makes the config independent of where and when it is read again; returns the run directory.

    `paths.run_dir` becomes the job's own folder, and folders become absolute.
    """
    run_dir = Path(str(config.paths.run_dir)).expanduser().absolute()
    if in_sweep():
        run_dir = Path(HydraConfig.get().runtime.output_dir)
    elif "LOCAL_RANK" in os.environ and _CHOSEN in os.environ:
        # The other processes of a distributed run start a moment later, with another time in the name.
        run_dir = Path(os.environ[_CHOSEN])
    os.environ[_CHOSEN] = str(run_dir)
    config.paths.run_dir = str(run_dir)
    # A mixture's parts may have folders of their own.
    parts = OmegaConf.select(config, "data.parts") or {}
    of_parts = [f"data.parts.{name}.{key}" for name in parts for key in ("root", "features")]
    for key in (*_FOLDERS, *of_parts):
        value = OmegaConf.select(config, key)
        if value is not None and value != "last":
            OmegaConf.update(config, key, str(Path(value).expanduser().absolute()))
    base = OmegaConf.select(config, "model.base")
    if base and os.sep in base and Path(base).expanduser().is_dir():
        config.model.base = str(Path(base).expanduser().absolute())
    return run_dir


def open_for_writing(run_dir: Path, config: DictConfig) -> Path | None:
    """Checks that a run may go on or begin in this folder; returns the checkpoint to go on from.

    A job of a sweep goes on by itself with what an earlier, interrupted sweep left of it.

    Raises:
        ValueError: the folder holds another run, is a file, or cannot be written.
        FileNotFoundError: there is no such checkpoint.
    """
    from vl_dora.continuing import changed_settings, shortened
    from vl_dora.processes import own_rank

    ckpt_path = config.ckpt_path
    if run_dir.exists() and not run_dir.is_dir():
        raise ValueError(f"paths.run_dir={run_dir} is a file; name a folder")
    parent = next(folder for folder in (run_dir, *run_dir.parents) if folder.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"paths.run_dir={run_dir} cannot be written: {parent} is read-only")
    begun = (run_dir / CONFIG).is_file()
    if ckpt_path is None and begun and not in_sweep():
        if own_rank() > 0:  # started beside the first process, which has just begun the run
            return None
        raise ValueError(
            f"paths.run_dir={run_dir} holds a run already; "
            "go on with it by ckpt_path=last, or name another folder"
        )
    if ckpt_path in (None, "last"):
        path = run_dir / CHECKPOINTS / "last.ckpt"
        if begun:
            changes = changed_settings(run_dir, config)
            if changes:
                log.warning("goes on with other settings: %s", shortened(changes))
            if not path.is_file():
                log.info("%s was cut off before its first checkpoint, and begins anew", run_dir)
                return None
        elif in_sweep() or ckpt_path is None:
            return None
    else:
        path = Path(ckpt_path)
    if not path.is_file():
        hint = "; name the run to go on with by paths.run_dir" if ckpt_path == "last" else ""
        raise FileNotFoundError(f"ckpt_path={ckpt_path}: {path} does not exist{hint}")
    return path


def write_config(run_dir: Path, config: DictConfig) -> None:
    """Writes the config with every reference resolved, whole or not at all."""
    from vl_dora.reports.files import whole_file

    with whole_file(run_dir / CONFIG) as draft:
        draft.write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")


def read_config(run_dir: Path, *, option: str = "run") -> DictConfig:
    """The config of a run directory; unknown keys are refused from here on.

    Args:
        run_dir: the folder.
        option: by which it was named, for messages.

    Raises:
        FileNotFoundError, ValueError: the folder is none that `vl_dora.train` made.
    """
    if not run_dir.is_dir():
        raise FileNotFoundError(
            f"{option}={run_dir} is not a folder; give a run directory, as vl_dora.train writes it"
        )
    path = run_dir / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{option}={run_dir} is not a run directory: it holds no {CONFIG}")
    config: Any
    try:
        config = OmegaConf.load(path)
    except Exception as error:  # noqa: BLE001 - YAML and OmegaConf raise all sorts of errors
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    needed = ("task", "model", "data", "adapter", "trainer", "paths")
    missing = [key for key in needed if not isinstance(config, DictConfig) or key not in config]
    if missing:
        raise ValueError(f"{path} is not the config of a run: it has no {', '.join(missing)}")
    OmegaConf.set_struct(config, True)
    return config


def record_failure(run_dir: Path, config: DictConfig, error: Exception, **facts: Any) -> None:
    """Writes why a run did not finish, if its directory exists or is a job of a sweep; else nothing.

    `facts` are written beside the error and its kind, or in their place.
    """
    from vl_dora.reports.files import whole_file

    if not (run_dir / CONFIG).is_file():
        if not in_sweep():
            return
        # A trial that stopped before it began is to be seen among the others.
        with _told(run_dir / CONFIG):
            write_config(run_dir, config)
    text = " ".join(str(error).split()) or type(error).__name__
    with _told(run_dir / FAILURE), whole_file(run_dir / FAILURE) as draft:
        record = {"error": text, "kind": type(error).__name__, **facts}
        draft.write_text(json.dumps(record) + "\n", encoding="utf-8")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Warns of a file that cannot be written: the reason of the failure itself is to be told, not this."""
    try:
        yield
    except OSError as error:
        log.warning("%s could not be written: %s", path, error)


def forget_failure(run_dir: Path) -> None:
    """Removes the record of an earlier failure."""
    (run_dir / FAILURE).unlink(missing_ok=True)


def in_sweep() -> bool:
    """Whether this is one job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def find_runs(given: Any) -> list[Path]:
    """The run directories meant by one path or a list of paths, folders of runs being searched.

    Those of one folder come in the order of their names, numbers by size, as a sweep numbers its trials.

    Raises:
        FileNotFoundError: a path is no folder, or holds no run.
    """
    found: list[Path] = []
    for one in given if isinstance(given, list) else [given]:
        folder = Path(str(one)).expanduser().absolute()
        if not folder.is_dir():
            raise FileNotFoundError(
                f"runs={one} is not a folder; give a run directory or one that holds some"
            )
        every = (path.parent for path in folder.rglob(CONFIG) if "evaluations" not in path.parts)
        here = sorted(every, key=_natural_order)
        if not here:
            raise FileNotFoundError(f"runs={one} holds no run directory (no {CONFIG} in it)")
        found += here
    return list(dict.fromkeys(found))


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """A key by which a10 comes after a9."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)]


def choice_of(group: str) -> str | None:
    """The name chosen in a config group on this command line; None outside of one."""
    if not HydraConfig.initialized():
        return None
    return HydraConfig.get().runtime.choices.get(group)
