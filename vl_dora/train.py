"""Fine-tunes a network and scores it: python -m vl_dora.train experiment=vqa

`python -m vl_dora.train config=<run directory>` does a run again.

Everything that a run leaves lies in `paths.run_dir`; see `vl_dora.run_directory`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch
from vl_dora.repeating import repeated_config

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float | None:
    """Trains, scores the best state on the test split, and returns the objective (percent).

    A run that stops with an error leaves it in its directory, if that exists or belongs to a sweep. A trial
    that an interrupted sweep finished is not done again.
    """
    from vl_dora.continuing import disk_errors_told, finished_trial
    from vl_dora.processes import hand_over, handed_over, own_group
    from vl_dora.pruning import TrialStopped
    from vl_dora.run_directory import (
        forget_failure,
        in_sweep,
        open_for_writing,
        record_failure,
        settle_paths,
    )

    handed = handed_over()
    if handed is not None:
        config, start = handed
        run_dir = Path(config.paths.run_dir)
    else:
        run_dir = settle_paths(config)
        done = finished_trial(run_dir, config) if in_sweep() else None
        if done is not None:
            log.info("%s is done already", run_dir)
            return done["objective"]["value"]
        # Outside: the directory of another run is not to be marked as failed.
        start = open_for_writing(run_dir, config)
    try:
        with own_group(), disk_errors_told(run_dir):
            hand_over(config, start)
            objective = _train(config, run_dir, start)
    except TrialStopped as stop:
        record_failure(
            run_dir, config, stop, kind="pruned", objective={"value": stop.value, "step": stop.step}
        )
        log.info("%s was %s", run_dir, stop)
        return stop.value
    except Exception as error:
        record_failure(run_dir, config, error)
        raise
    forget_failure(run_dir)
    return objective


def _train(config: DictConfig, run_dir: Path, start: Path | None) -> float | None:
    import lightning

    from vl_dora.adapters import save_adapter
    from vl_dora.building import build, build_trainer, encode_pictures, plain
    from vl_dora.evaluated import about, evaluation_folder
    from vl_dora.lightning_modules.checkpoints import KeepCheckpoints
    from vl_dora.lightning_modules.data_order import DataOrder
    from vl_dora.lightning_modules.fsdp2 import ShardedStrategy
    from vl_dora.lightning_modules.kept_weights import KeepWeights
    from vl_dora.lightning_modules.sharding import check_spreadable, whole
    from vl_dora.lightning_modules.watching import BaseScores, MovementWatch, StepTimes, ValidationLines
    from vl_dora.lightning_modules.written_answers import WrittenAnswers
    from vl_dora.metrics_log import METRICS
    from vl_dora.peak_memory import start_anew
    from vl_dora.pruning import ReportTrial
    from vl_dora.reports.curve import write_curve
    from vl_dora.run_directory import ANALYSIS, CHECKPOINTS
    from vl_dora.run_report import circumstances, figures_of, scored, summary, write_outcome

    start_anew()
    OmegaConf.resolve(config)
    built = build(config)
    module, data = built.module, built.data
    checkpoints = KeepCheckpoints(run_dir / CHECKPOINTS, config.checkpoint.every_n_steps, config.objective)
    times, order, before = StepTimes(), DataOrder(), BaseScores()
    callbacks: list[Any] = [times, order, before, checkpoints, ValidationLines()]
    if config.analysis.steps:
        callbacks.append(KeepWeights(run_dir / ANALYSIS, list(config.analysis.steps)))
    if config.trial is not None:
        callbacks.append(ReportTrial(plain(config.trial), config.objective))
    if config.movement_check_step is not None:
        callbacks.append(MovementWatch(config.movement_check_step))
    # Everything is read and checked before the first file of the run is written.
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    encode_pictures(config, built)
    if start is not None:
        module.load_checkpoint(start)
    answers = None
    if not module.audit.trainable:
        # Where `vl_dora.evaluate` of this run would write them: it goes on with what a kill left.
        folder = evaluation_folder(run_dir, config, data)
        answers = WrittenAnswers(folder, about(config, data, None), resume=False)
        callbacks.append(answers)
    trainer = build_trainer(config, callbacks, with_loggers=True)
    if isinstance(trainer.strategy, ShardedStrategy):
        check_spreadable(module.network)
    if trainer.is_global_zero:
        _begin(run_dir, config, start, module.audit)

    if config.evaluate_before and start is None and module.audit.trainable:
        trainer.test(module, data, verbose=False)
        before.figures = figures_of(module.outcome.report) if module.outcome.report else None
    if module.audit.trainable:
        lightning.seed_everything(config.seed, workers=True, verbose=False)
        trainer.fit(module, data, ckpt_path=None if start is None else str(start), weights_only=True)
        checkpoints.finish(trainer, module, data)
        module.load_checkpoint(checkpoints.best)
        objective = checkpoints.best_score
    else:
        log.info(
            "nothing trains (adapter=frozen): the base is scored as it is; cut off, "
            "python -m vl_dora.evaluate run=%s goes on after the last answer",
            run_dir,
        )
        objective = None
        if data.val_dataloader():  # an empty list where there is no split to validate on
            trainer.validate(module, data, verbose=False)
            objective = module.outcome.logged("val").get(config.objective)
    steps = trainer.global_step
    trainer.test(module, data, verbose=False)

    seen = order.of_all()
    with whole(module.network):
        if trainer.is_global_zero and module.audit.trainable:
            save_adapter(module.network, run_dir / "adapter")
    if trainer.is_global_zero:
        results = {
            **scored(config, built),
            "before": before.figures,
            "objective": {"name": config.objective, "value": objective, "step": checkpoints.best_step},
            "steps": steps,
            "samples_seen": seen.samples,
            "data_order": seen.digest or None,
            "seconds_of_training": round(times.fit_seconds, 3),
            "seconds_a_step": times.seconds_a_step(trainer.accumulate_grad_batches),
            **times.throughput(),
            **circumstances(config, built),
        }
        title = f"{built.task.name}, {data.evaluation_split}"
        if module.audit.trainable:
            write_curve(run_dir / METRICS, run_dir / "curve.png", title=title)
        write_outcome(built, run_dir, results, title=title)
        log.info("%s\n%s", summary(results), run_dir)
    if answers is not None:
        answers.remove()
    for process in getattr(trainer.strategy.launcher, "procs", []):
        process.wait()
    return objective


def _begin(run_dir: Path, config: DictConfig, start: Path | None, audit: Any) -> None:
    from vl_dora.lightning_modules.checkpoint_files import step_of
    from vl_dora.metrics_log import METRICS, keep_rows_before
    from vl_dora.reports.files import whole_file
    from vl_dora.reports.results import write_results
    from vl_dora.run_directory import PROVENANCE, write_config
    from vl_dora.run_report import provenance

    write_config(run_dir, config)
    write_results(run_dir / PROVENANCE, provenance(config))
    keep_rows_before(run_dir / METRICS, 0 if start is None else step_of(start))
    with whole_file(run_dir / "audit.txt") as draft:
        draft.write_text(f"{audit.table()}\n", encoding="utf-8")
    write_results(run_dir / "audit.json", audit.to_dict())
    log.info("%s", audit.table())


def main() -> None:
    """The command line."""
    launch("train", train, other=repeated_config)


if __name__ == "__main__":
    main()
