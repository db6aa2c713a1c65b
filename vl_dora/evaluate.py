"""Scores a finished run again: python -m vl_dora.evaluate run=<run directory>

`data.root=… data.split=…` score another folder or split with the same model, `benchmark=…` another benchmark.
An evaluation that was killed goes on after its last answer when the same command is given again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from vl_dora.entry_point import launch

log = logging.getLogger(__name__)

_OWN = ("run", "ckpt_path", "output_dir", "resume", "benchmark_name")


def evaluate(changes: DictConfig) -> float | None:
    """Builds the run again, scores a split with its best checkpoint, returns the headline (percent)."""
    from vl_dora.building import build, build_trainer, encode_pictures
    from vl_dora.evaluated import about, evaluation_folder
    from vl_dora.lightning_modules.written_answers import WrittenAnswers
    from vl_dora.peak_memory import start_anew
    from vl_dora.run_directory import read_config, settle_paths, write_config
    from vl_dora.run_report import circumstances, scored, summary, write_outcome

    start_anew()
    run_dir = Path(str(changes.run)).expanduser().absolute()
    config = changed(read_config(run_dir), changes)
    config.paths.run_dir = str(run_dir)
    settle_paths(config)
    checkpoint = checkpoint_of(run_dir, changes.ckpt_path)
    built = build(config)
    module, data = built.module, built.data
    if module.audit.trainable:
        module.load_checkpoint(checkpoint)
    data.prepare_data()
    data.setup("test")
    encode_pictures(config, built)
    folder = evaluation_folder(run_dir, config, data, changes.benchmark_name)
    if changes.output_dir is not None:
        folder = Path(changes.output_dir).expanduser().absolute()
    used = checkpoint if module.audit.trainable else None
    answers = WrittenAnswers(folder, about(config, data, used), resume=changes.resume)
    trainer = build_trainer(config, [answers], with_loggers=False)
    trainer.test(module, data, verbose=False)

    results = scored(config, built)
    if trainer.is_global_zero:
        results |= circumstances(config, built)
        results["run"] = str(run_dir)
        results["checkpoint"] = str(checkpoint) if used else None
        results["benchmark"] = changes.benchmark_name
        results |= _choices_of_the_run(run_dir)
        write_config(folder, config)
        write_outcome(built, folder, results, title=f"{built.task.name}, {data.evaluation_split}")
        log.info("%s\n%s", summary(results), folder)
    answers.remove()
    return results["scores"][built.task.headline] if results["scores"] else None


def changed(config: DictConfig, changes: DictConfig) -> DictConfig:
    """The run's config with the given changes laid over it; what is ??? stays as it was.

    A benchmark brings task, data and generation of its own, which take the place of the run's.

    Raises:
        ValueError: a change of something the run's config does not have.
    """
    given = OmegaConf.masked_copy(changes, [str(key) for key in changes if key not in _OWN])
    if OmegaConf.select(changes, "benchmark_name") is not None:
        with open_dict(config):
            for key in ("task", "data", "generation"):
                config[key] = {}
        OmegaConf.set_struct(config, False)
    merged = OmegaConf.merge(config, given)
    assert isinstance(merged, DictConfig)
    with open_dict(merged):
        merged.ckpt_path = None
    return merged


def checkpoint_of(run_dir: Path, choice: str) -> Path:
    """The file that `ckpt_path` means: best, last, or a path."""
    from vl_dora.lightning_modules.checkpoints import BEST, LAST
    from vl_dora.run_directory import CHECKPOINTS

    names = {"best": BEST, "last": LAST}
    return run_dir / CHECKPOINTS / names[choice] if choice in names else Path(choice).expanduser().absolute()


def _choices_of_the_run(run_dir: Path) -> dict[str, Any]:
    from vl_dora.reports.results import read_results

    try:
        earlier = read_results(run_dir)
    except (FileNotFoundError, ValueError):
        return {}
    return {key: earlier.get(key) for key in ("experiment", "model", "adapter")}


def main() -> None:
    """The command line."""
    launch("evaluate", evaluate)


if __name__ == "__main__":
    main()
