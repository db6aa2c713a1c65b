"""An adapter directory on disk: its files, read with clear errors and replaced all or nothing."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vl_dora.adapters.exchange import exchange

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
RECORD, ROWS = "vl_dora.json", "vl_dora_rows.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Saved:
    """What an adapter directory holds.

    Args:
        config: PEFT's adapter_config.json.
        tensors: adapter_model.safetensors, by PEFT's keys.
        record: our vl_dora.json; None when PEFT wrote the directory.
        rows: vl_dora_rows.safetensors, last rows of base tensors by parameter name.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any] | None = None
    rows: Mapping[str, Tensor] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Writes all files beside the directory first, then puts them in place; other files stay."""
        target = directory.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            save_file(dict(self.tensors), draft / WEIGHTS, metadata={"format": "pt"})
            if self.rows:
                save_file(dict(self.rows), draft / ROWS, metadata={"format": "pt"})
            for name, value in ((CONFIG, self.config), (RECORD, self.record)):
                (draft / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
            for tensors in draft.glob("*.safetensors"):
                # safetensors makes files that only their owner can read.
                shutil.copymode(draft / CONFIG, tensors)
            if not target.exists():
                os.rename(draft, target)
            elif not _swap(draft, target):
                _replace(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def read(directory: Path) -> Saved:
    """Reads a directory written by `Saved.write` or by PEFT.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a file is damaged or of an unknown format.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is not a directory; an adapter is a directory with {CONFIG}")
    config = _read_json(directory / CONFIG)
    record = _read_json(directory / RECORD) if (directory / RECORD).exists() else None
    if record is not None and record.get("format") != FORMAT:
        found = record.get("format")
        raise ValueError(f"{directory / RECORD}: format {found!r} is unknown; allowed: {FORMAT}")
    if not (directory / WEIGHTS).exists() and (directory / "adapter_model.bin").exists():
        raise ValueError(f"{directory} holds adapter_model.bin, a pickle; save it again as {WEIGHTS}")
    rows = _read_tensors(directory / ROWS) if record and record.get("rows") else {}
    return Saved(config, _read_tensors(directory / WEIGHTS), record, rows)


def _read_json(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; is {file.parent} an adapter directory?")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{file} holds a {type(value).__name__}; it must be a JSON object")
    return value


def _read_tensors(file: Path) -> dict[str, Tensor]:
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; is {file.parent} an adapter directory?")
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is damaged: {error}") from None


def _swap(draft: Path, target: Path) -> bool:
    """Puts the draft in place in one step, the other files of the previous one with it; False: not done."""
    names = (ROWS, WEIGHTS, CONFIG, RECORD)
    others = [path for path in target.iterdir() if path.name not in names]
    if any(path.is_symlink() or not path.is_file() for path in others):
        return False
    for path in others:
        _duplicate(path, draft / path.name)
    shutil.copymode(target, draft)
    if exchange(draft, target):
        return True
    for path in others:
        (draft / path.name).unlink()
    return False


def _replace(draft: Path, target: Path) -> None:
    """Puts the finished files in place, or, when that fails half-way, the previous ones back."""
    names = (ROWS, WEIGHTS, CONFIG, RECORD)
    backup = draft / "previous"
    backup.mkdir()
    for name in names:
        if (target / name).exists():
            _duplicate(target / name, backup / name)
    done: list[str] = []
    try:
        for name in names:
            done.append(name)
            _put(draft / name, target / name)
    except BaseException:
        for name in done:
            _put(backup / name, target / name)
        raise


def _put(source: Path, destination: Path) -> None:
    if source.exists():
        os.replace(source, destination)
    else:
        destination.unlink(missing_ok=True)


def _duplicate(source: Path, destination: Path) -> None:
    try:
        os.link(source, destination)
    except OSError:  # a file system without hard links
        shutil.copy2(source, destination)
