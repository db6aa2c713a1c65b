"""A trial tells its sweep how it does, and stops where the sweep sees no use in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning


class TrialStopped(Exception):
    """The sweep stopped this trial.

    Attributes:
        step: optimizer steps done.
        value: the last objective.
    """

    def __init__(self, step: int, value: float) -> None:
        super().__init__(f"stopped by the sweep after step {step}: others did better by then")
        self.step, self.value = step, value


class ReportTrial(lightning.Callback):
    """Reports every validation to an Optuna study, and raises `TrialStopped` on its word.

    Args:
        trial: `storage` and `study` by which the study is found, `number` of the trial, `pruner` as a config.
        objective: the logged score that is reported.
    """

    def __init__(self, trial: Mapping[str, Any], objective: str) -> None:
        self.given = trial
        self.objective = objective

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            return
        value, step = pl_module.outcome.logged("val")[self.objective], trainer.global_step
        stop = self._is_useless(value, step) if trainer.is_global_zero else False
        if trainer.strategy.broadcast(stop):
            raise TrialStopped(step, value)

    def _is_useless(self, value: float, step: int) -> bool:
        import optuna

        from vl_dora.building import made

        pruner = optuna.pruners.NopPruner() if self.given["pruner"] is None else made(self.given["pruner"])
        study = optuna.load_study(
            study_name=self.given["study"], storage=self.given["storage"], pruner=pruner
        )
        (own,) = (trial for trial in study.trials if trial.number == self.given["number"])
        trial = optuna.trial.Trial(study, own._trial_id)
        # A trial that goes on after a kill comes by what it has told before.
        if step not in own.intermediate_values:
            trial.report(value, step)
        return trial.should_prune()
