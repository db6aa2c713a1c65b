"""Weights of single steps, kept beside the checkpoints for `vl_dora.analyze`: what trains, nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from safetensors.torch import save_file

PATTERN = "step-*.safetensors"


class KeepWeights(lightning.Callback):
    """Writes what trains after each of some optimizer steps, as `step-000100.safetensors`.

    Args:
        folder: made with the first file.
        steps: optimizer steps, 1 or later.

    Raises:
        ValueError: a step below 1 or given twice; later: one that the run will not reach.
    """

    def __init__(self, folder: Path, steps: Sequence[int]) -> None:
        wrong = [s for s in steps if isinstance(s, bool) or not isinstance(s, int) or s < 1]
        if wrong or len(set(steps)) < len(steps):
            given = ", ".join(map(str, steps))
            raise ValueError(f"analysis.steps=[{given}] must be different whole numbers of at least 1")
        self.folder = folder
        self.steps = sorted(steps)
        self._kept = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        last = int(trainer.estimated_stepping_batches)
        if self.steps and self.steps[-1] > last:
            raise ValueError(f"analysis.steps holds {self.steps[-1]}, but the run has {last} steps")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        step = trainer.global_step
        if step not in self.steps or step == self._kept:
            return
        self._kept = step  # with accumulation a step is seen after several batches
        state = pl_module.state_dict()  # in every process: weights may be spread over them
        if trainer.is_global_zero:
            tensors = {name: t.cpu().contiguous() for name, t in state.items()}
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"step-{step:06d}.safetensors"
            draft = path.with_suffix(".tmp")
            save_file(tensors, draft)
            os.replace(draft, path)


def kept_weights(folder: Path) -> dict[int, Path]:
    """Step -> file, in the order of steps."""
    return {int(path.stem.removeprefix("step-")): path for path in sorted(folder.glob(PATTERN))}


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor of one file, on the CPU.

    Raises:
        ValueError: damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
