"""Callbacks that watch a training: did the adapters move, how long is a step, what are the scores."""

from __future__ import annotations

import json
import logging
import statistics
import time
from typing import Any

import lightning

from vl_dora.adapters import MovementCheck
from vl_dora.lightning_modules.sharding import whole

log = logging.getLogger(__name__)

# Times the steps of the check, for which it waits where batches so far left a part of the network out.
PATIENCE = 10


class MovementWatch(lightning.Callback):
    """Stops the run when, after the first steps, an adapter stood still or something frozen changed.

    An adapter that no batch has reached by then is waited for, until ten times as many steps; of weights that
    are spread over processes nobody sees that, so that each one that stands still is waited for.

    Args:
        step: optimizer steps after which to look, at least 2 (LoRA's A has no gradient before B moved).

    Raises:
        ValueError: `step` is below 2; later: what did not move, or moved and should not have.
    """

    def __init__(self, step: int = 3) -> None:
        if step < 2:
            raise ValueError(f"movement_check_step={step} must be at least 2, or null")
        self.step = step
        self._check: MovementCheck | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        # A run that goes on from before that step is looked at as well, from where it goes on.
        if trainer.global_step < self.step <= trainer.estimated_stepping_batches:
            with whole(pl_module.network):
                self._check = MovementCheck(pl_module.network)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if self._check is None or trainer.global_step < self.step:
            return
        with whole(pl_module.network):
            if trainer.global_step < PATIENCE * self.step and self._check.is_early():
                return
            check, self._check = self._check, None
            check.check()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self._check is not None and trainer.global_step >= self.step:
            with whole(pl_module.network):
                self._check.check()


class StepTimes(lightning.Callback):
    """Seconds of every training batch from its arrival to the end of its step, and of the whole fit.

    The latter include what earlier processes of a run worked up to their last checkpoint. Beside them stand
    the seconds for which the loader made the steps wait, where it counts them (an attribute `waits`).
    """

    def __init__(self) -> None:
        self.batches: list[float] = []
        self.samples: list[int] = []
        self.waits: list[float] = []
        self.fit_seconds = 0.0
        self._started = 0.0
        self._fit_started: float | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._fit_started = time.perf_counter()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.fit_seconds = self._seconds_so_far()
        self._fit_started = None
        self.waits += getattr(trainer.train_dataloader, "waits", [])

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.samples.append(len(batch))
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        self.batches.append(time.perf_counter() - self._started)

    def _seconds_so_far(self) -> float:
        running = 0.0 if self._fit_started is None else time.perf_counter() - self._fit_started
        return self.fit_seconds + running

    def state_dict(self) -> dict[str, Any]:
        return {"fit_seconds": self._seconds_so_far()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fit_seconds = state["fit_seconds"]

    def seconds_a_step(self, accumulated: int = 1) -> float | None:
        """Median over all batches but the first fifth, times the batches of an optimizer step."""
        timed = self.batches[len(self.batches) // 5 :]
        return statistics.median(timed) * accumulated if timed else None

    def throughput(self) -> dict[str, float | None]:
        """Samples a second and the percentage of time spent waiting for data, in this process.

        The first fifth of the batches is left out (start of workers, of the allocator); what lies
        between steps, such as validation, does not count.
        """
        first = len(self.batches) // 5
        waited, worked = sum(self.waits[first : len(self.batches)]), sum(self.batches[first:])
        if not (worked and self.waits):
            return {"samples_a_second": None, "waiting_for_data_percent": None}
        return {
            "samples_a_second": round(sum(self.samples[first:]) / (waited + worked), 2),
            "waiting_for_data_percent": round(100 * waited / (waited + worked), 2),
        }


class BaseScores(lightning.Callback):
    """Carries the scores of the untrained network from process to process of a run.

    Attributes:
        figures: plain values; None where it was not scored.
    """

    def __init__(self) -> None:
        self.figures: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        # As JSON: checkpoints hold tensors and plain values alone.
        return {"figures": json.dumps(self.figures)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.figures = json.loads(state["figures"])


class ValidationLines(lightning.Callback):
    """A log line for every validation, for logs that show no progress bar."""

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        scores = ", ".join(f"{name} {value:.2f}" for name, value in pl_module.outcome.logged("val").items())
        if trainer.is_global_zero:
            log.info("step %d: %s", trainer.global_step, scores or "validation has no answers")
