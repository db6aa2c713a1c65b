"""Two checkpoints, `last.ckpt` and `best.ckpt`, each whole or not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import lightning
import torch

LAST, BEST = "last.ckpt", "best.ckpt"


class KeepCheckpoints(lightning.Callback):
    """Saves the last state every so many optimizer steps and at the end, and the best one validated.

    Args:
        folder: where the two files go; made with the first.
        every_n_steps: optimizer steps between two saves of `last.ckpt`; null: only at the end.
        objective: the logged score that makes a state the best, higher being better.

    Attributes:
        best_score: of `best.ckpt`; None before the first validation.
        best_step: optimizer steps behind `best.ckpt`.

    Raises:
        ValueError: `every_n_steps` is below 1; later: validation does not log `objective`.
    """

    def __init__(self, folder: Path, every_n_steps: int | None, objective: str) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"checkpoint.every_n_steps={every_n_steps} must be at least 1, or null")
        self.folder = folder
        self.every_n_steps = every_n_steps
        self.objective = objective
        self.best_score: float | None = None
        self.best_step: int | None = None
        self._saved_step = 0
        self._validated_step: int | None = None
        self._random: dict[str, Any] | None = None

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def best(self) -> Path:
        return self.folder / BEST

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "best_step": self.best_step, "random": _random_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        self._random = state["random"]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        # A run that goes on draws the dropout masks that it would have drawn unbroken.
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if torch.cuda.is_available() and len(self._random["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all(self._random["cuda"])
            self._random = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        step = trainer.global_step
        due = self.every_n_steps is not None and step % self.every_n_steps == 0
        if step != self._saved_step and (due or step >= trainer.estimated_stepping_batches):
            self._saved_step = step
            self._save(trainer, self.last)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn == "fit" and self._is_best(trainer, pl_module):
            self._save(trainer, self.best)

    def finish(self, trainer: Any, pl_module: Any, data: Any) -> None:
        """Call after `fit`: validates the final state where that was not done, and saves it."""
        if self._saved_step != trainer.global_step:
            self._save(trainer, self.last)
        if self._validated_step != trainer.global_step:
            trainer.validate(pl_module, data, verbose=False)
            if self._is_best(trainer, pl_module) and trainer.is_global_zero:
                self._copy(self.last, self.best)
            trainer.strategy.barrier("best checkpoint")

    def _is_best(self, trainer: Any, pl_module: Any) -> bool:
        self._validated_step = trainer.global_step
        scores = pl_module.outcome.logged("val")
        if self.objective not in scores:
            raise ValueError(
                f"objective={self.objective} is not what validation gives: {', '.join(sorted(scores))}"
            )
        score = scores[self.objective]
        if self.best_score is not None and score <= self.best_score and self.best.is_file():
            return False
        self.best_score, self.best_step = score, trainer.global_step
        return True

    def _save(self, trainer: Any, path: Path) -> None:
        draft = path.with_name(f"{path.name}.tmp")
        trainer.save_checkpoint(draft, weights_only=False)
        if trainer.is_global_zero:
            os.replace(draft, path)
        trainer.strategy.barrier("checkpoint")

    def _copy(self, source: Path, path: Path) -> None:
        draft = path.with_name(f"{path.name}.tmp")
        shutil.copyfile(source, draft)
        os.replace(draft, path)


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


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
