"""Two checkpoints, `last.ckpt` and `best.ckpt`, each whole or not there, from which a run goes on exactly.

A state is first written beside `last.ckpt`, and becomes it when the log rows of its step are on the disk as
well: a run that is killed at any moment and goes on from `last.ckpt` ends as one that was not. `best.ckpt` is
a copy of a `last.ckpt`, so it is never ahead of what the run goes on from.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import lightning

from vl_dora.lightning_modules.checkpoint_files import CheckpointNotWritten, step_of
from vl_dora.lightning_modules.random_state import random_states, set_random_state

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
        ValueError: `every_n_steps` is below 1; later: validation does not log `objective`, or a file
            cannot be written.
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
        self._random: list[dict[str, Any]] | None = None
        # A state was written and is not `last.ckpt` yet; the best so far, where the second is True.
        self._drafted = self._drafted_best = False

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def best(self) -> Path:
        return self.folder / BEST

    @property
    def _draft(self) -> Path:
        return self.folder / f"{LAST}.tmp"

    # --- what a checkpoint knows of this -------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_score": self.best_score,
            "best_step": self.best_step,
            "saved_step": self._saved_step,
            "validated_step": self._validated_step,
            "random": random_states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        self._saved_step, self._validated_step = state["saved_step"], state["validated_step"]
        self._random = state["random"]

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Counts the pass that is under way, which Lightning forgets where a run went on from a pass's end.

        A run that went on twice would repeat that pass otherwise.
        """
        if trainer.training or trainer.validating:
            progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]
            for counts in (progress["total"], progress["current"]):
                counts["ready"] = counts["started"] = counts["processed"] + 1

    # --- when it is saved ----------------------------------------------------------------------

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._complete_best(trainer)
        # A run that goes on draws the dropout masks that it would have drawn unbroken.
        if self._random is not None:
            set_random_state(self._random)
            self._random = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        # A validation that follows belongs to the step: a run that goes on would not make up for it.
        if self._is_due(trainer) and not _validates_now(trainer):
            self._write(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            return
        is_best, between = self._is_best(trainer, pl_module), _is_between_steps(trainer)
        if between and is_best:
            # The gradients gathered so far are in no checkpoint, so a run cannot go on from here.
            self._save(trainer, self.best)
        elif not between and (is_best or self._is_due(trainer)):
            self._write(trainer, best=is_best)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        self._publish(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._publish(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._publish(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._publish(trainer)

    def finish(self, trainer: Any, pl_module: Any, data: Any) -> None:
        """Call after `fit`: validates the final state where that was not done, and saves it."""
        self._complete_best(trainer)
        # Where a run that had come to its last step goes on, Lightning takes that step for not logged yet.
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        if self._saved_step != trainer.global_step or not self.last.is_file():
            self._write(trainer)
            self._publish(trainer)
        if self._validated_step != trainer.global_step or not self.best.is_file():
            trainer.validate(pl_module, data, verbose=False)
            if self._is_best(trainer, pl_module) and trainer.is_global_zero:
                self._copy(self.last, self.best)
            trainer.strategy.barrier("best checkpoint")

    def _is_due(self, trainer: Any) -> bool:
        step = trainer.global_step
        due = self.every_n_steps is not None and step % self.every_n_steps == 0
        return step != self._saved_step and (due or step >= trainer.estimated_stepping_batches)

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

    # --- how it is saved -----------------------------------------------------------------------

    def _write(self, trainer: Any, *, best: bool = False) -> None:
        """Writes the state beside `last.ckpt`."""
        self._saved_step = trainer.global_step
        trainer.save_checkpoint(self._draft, weights_only=False)
        self._drafted, self._drafted_best = True, best

    def _publish(self, trainer: Any) -> None:
        """Makes what was written `last.ckpt`, and `best.ckpt` if it is the best."""
        if not self._drafted:
            return
        if trainer.is_global_zero:
            os.replace(self._draft, self.last)
            if self._drafted_best:
                self._copy(self.last, self.best)
        self._drafted = self._drafted_best = False
        trainer.strategy.barrier("checkpoint")

    def _save(self, trainer: Any, path: Path) -> None:
        draft = path.with_name(f"{path.name}.tmp")
        trainer.save_checkpoint(draft, weights_only=False)
        if trainer.is_global_zero:
            os.replace(draft, path)
        trainer.strategy.barrier("checkpoint")

    def _copy(self, source: Path, path: Path) -> None:
        draft = path.with_name(f"{path.name}.tmp")
        try:
            shutil.copyfile(source, draft)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise CheckpointNotWritten(f"{path} could not be written: {error.strerror}") from error
        os.replace(draft, path)

    def _complete_best(self, trainer: Any) -> None:
        """Makes up for a kill between `last.ckpt` and its copy."""
        if trainer.is_global_zero:
            for draft in self.folder.glob("*.tmp"):
                draft.unlink()
            if self.last.is_file() and self.best_step == trainer.global_step == step_of(self.last):
                if not self.best.is_file() or step_of(self.best) != self.best_step:
                    self._copy(self.last, self.best)
        trainer.strategy.barrier("best checkpoint")


def _validates_now(trainer: Any) -> bool:
    """Whether Lightning validates after the batch that has just ended; it does not tell it publicly."""
    loop = trainer.fit_loop
    return sum(trainer.num_val_batches) > 0 and loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def _is_between_steps(trainer: Any) -> bool:
    """Whether gradients are gathered for a step that is still to come."""
    return bool(trainer.fit_loop._should_accumulate())
