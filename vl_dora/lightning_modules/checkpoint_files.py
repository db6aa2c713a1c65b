"""Checkpoint files: written so that they reach the disk, read as tensors and plain values alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO


class PlainCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint straight to its file and waits until it is on the disk.

    Lightning's own holds a second copy in memory and takes the way over a folder for temporary files.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Writes the file; what it replaces is for the caller to say (`KeepCheckpoints`).

        Raises:
            ValueError: the disk is full, the folder is read-only, and the like; nothing is left then.
        """
        assert storage_options is None
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            reason = _reason(error)
            if reason is None:
                raise
            path.unlink(missing_ok=True)
            raise CheckpointNotWritten(f"{path} could not be written: {reason}") from error


class CheckpointNotWritten(ValueError):
    """A checkpoint could not be written; the earlier one is as it was."""


def _reason(error: BaseException | None) -> str | None:
    """What the system said; torch wraps it in an error of its own writer."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or str(error)
        error = error.__cause__ or error.__context__
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint file, on the CPU; only tensors and plain values are read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint of this project.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; no checkpoint was saved there")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged files raise all sorts of errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a checkpoint, or damaged: {reason}") from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path} is not a checkpoint of a run: it holds no state_dict")
    return checkpoint


def step_of(path: Path) -> int:
    """Optimizer steps behind a checkpoint; its tensors are not read.

    Raises:
        ValueError: not a checkpoint, or damaged.
    """
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"])
    except Exception as error:  # noqa: BLE001 - damaged files raise all sorts of errors
        raise ValueError(f"{path} is not a checkpoint, or damaged: {error}") from None
