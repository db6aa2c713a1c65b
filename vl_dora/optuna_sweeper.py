"""hydra/sweeper=optuna_current: a search by Optuna whose trials are those of any sweep, and which goes on.

The study is a file in the sweep's folder. A trial that was cut off goes on from its checkpoint, one that has
come to its end is only told, and those that are missing are made.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vl_dora.reports.files import whole_file

log = logging.getLogger(__name__)

CHOICE = "optuna_current"
_NAME = "vl_dora"


class OptunaSweeper(Sweeper):
    """Asks a study for settings, runs them through the launcher, tells the study what came of them.

    Args:
        n_trials: of the study, earlier ones counted.
        n_jobs: trials given to the launcher at once.
        storage: address of Optuna's storage; None: a file in the sweep's folder.
        study_name: in that storage.
        sampler: config of an Optuna sampler.
        pruner: config of an Optuna pruner, or None.
        params: name -> choices in Hydra's words; the command line wins over them.

    Raises:
        ValueError: a number below 1; later: nothing to search, or a study of something else.
    """

    # Set by `setup`, which Hydra calls before anything else.
    hydra_context: Any
    config: Any
    launcher: Any

    def __init__(
        self,
        *,
        n_trials: int,
        n_jobs: int,
        storage: str | None,
        study_name: str,
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any] | None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"hydra.sweeper.{name}={value} must be a whole number of at least 1")
        self.n_trials, self.n_jobs = n_trials, n_jobs
        self.storage, self.study_name = storage, study_name
        self.sampler, self.pruner, self.params = sampler, pruner, dict(params or {})

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        """Takes what Hydra has for a sweep."""
        self.hydra_context, self.config = hydra_context, config
        forget()
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the trials that are missing, and leaves `best.yaml` and `trials.csv`.

        Raises:
            Exception: of the first trial that failed, when all others are done.
        """
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = parser.parse_overrides([*(f"{k}={v}" for k, v in self.params.items()), *arguments])
        last = {override.get_key_element(): override for override in given}
        space = {key: distribution(o) for key, o in last.items() if o.is_sweep_override()}
        fixed = [f"{k}={o.get_value_element_as_str()}" for k, o in last.items() if k not in space]
        if not space:
            raise ValueError(
                "hydra/sweeper=optuna_current has nothing to search; give choices such as "
                "adapter=lora,dora or 'optim.lr=tag(log,interval(1e-4,1e-2))'"
            )
        folder = Path(self.config.hydra.sweep.dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            self._search(folder, space, fixed)

    def _search(self, folder: Path, space: dict[str, Any], fixed: list[str]) -> None:
        study, storage = self._study(folder, space)
        failed: list[JobReturn] = []
        for batch in self._batches(study, space):
            jobs = [[*fixed, *_overrides(trial.params), self._told(storage, trial)] for trial in batch]
            results = self.launcher.launch(jobs, initial_job_idx=batch[0].number)
            for trial, result in zip(batch, results, strict=True):
                self._tell(study, folder, trial, result)
                failed += [result] if result.status != JobStatus.COMPLETED else []
            _write(folder, study)
        if failed:
            _ = failed[0].return_value  # raises what the trial raised
        log.info("%s", _write(folder, study))

    def _study(self, folder: Path, space: Mapping[str, Any]) -> tuple[Any, str]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = self.storage or f"sqlite:///{folder / 'optuna.db'}"
        study = optuna.create_study(
            study_name=self.study_name,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
        )
        wanted = {name: optuna.distributions.distribution_to_json(one) for name, one in space.items()}
        if study.user_attrs.setdefault("space", wanted) != wanted:
            raise ValueError(
                f"{storage} holds a search among other choices; name another folder by paths.run_dir"
            )
        study.set_user_attr("space", wanted)
        # With the seed alone, a search that goes on would draw what it has drawn before.
        sampler = dict(self.sampler)
        if sampler.get("seed") is not None:
            sampler["seed"] += len(study.trials)
        study.sampler = instantiate(sampler)
        return study, storage

    def _batches(self, study: Any, space: dict[str, Any]) -> Iterator[list[Any]]:
        """First the trials that were cut off, then new ones; those of a batch have numbers in a row."""
        from optuna.trial import Trial, TrialState

        cut_off = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
        for trial in cut_off:
            log.info("trial %d goes on", trial.number)
            yield [Trial(study, trial._trial_id)]
        while (missing := self.n_trials - len(study.trials)) > 0:
            yield [study.ask(space) for _ in range(min(missing, self.n_jobs))]

    def _told(self, storage: str, trial: Any) -> str:
        """The option by which a trial finds its study."""
        pruner = None if self.pruner is None else OmegaConf.to_container(OmegaConf.create(dict(self.pruner)))
        about = {"storage": storage, "study": self.study_name, "number": trial.number, "pruner": pruner}
        return f"trial={_word(about)}"

    def _tell(self, study: Any, folder: Path, trial: Any, result: JobReturn) -> None:
        from optuna.trial import TrialState

        if result.status != JobStatus.COMPLETED or result.return_value is None:
            study.tell(trial.number, state=TrialState.FAIL)
            return
        failure = folder / str(trial.number) / "failed.json"
        pruned = failure.is_file() and json.loads(failure.read_text(encoding="utf-8")).get("kind") == "pruned"
        if pruned:
            study.tell(trial.number, state=TrialState.PRUNED)
        else:
            study.tell(trial.number, result.return_value)
        outcome = "was stopped at" if pruned else "reached"
        log.info("trial %d %s %.2f with %s", trial.number, outcome, result.return_value, trial.params)


def distribution(override: Override) -> Any:
    """Optuna's distribution for a sweep in Hydra's words.

    Raises:
        ValueError: a logarithmic choice or range.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    logarithmic = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        make: Any = IntDistribution if whole else FloatDistribution
        return make(value.start, value.end, log=logarithmic)
    if logarithmic:
        raise ValueError(f"{override.input_line}: tag(log, ...) is for interval(low, high) alone")
    if isinstance(value, RangeSweep):
        numbers = list(value.range())
        make = IntDistribution if all(isinstance(n, int) for n in numbers) else FloatDistribution
        return make(min(numbers), max(numbers), step=abs(value.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _overrides(params: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in params.items()]


def _word(value: Any) -> str:
    """A value as Hydra's command line reads it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_word(one)}" for key, one in value.items()) + "}"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "null" if value is None else str(value)


def _write(folder: Path, study: Any) -> str:
    """Leaves a line for every trial, and the best one's settings; returns a sentence on it."""
    names = sorted({name for trial in study.trials for name in trial.params})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *names])
    for trial in study.trials:
        value = trial.value if trial.value is not None else ""
        writer.writerow(
            [trial.number, trial.state.name.lower(), value, *(trial.params.get(n, "") for n in names)]
        )
    with whole_file(folder / "trials.csv") as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if not done:
        return f"no trial came to its end; {folder}"
    best = max(done, key=lambda trial: trial.value)
    about = {"trial": best.number, "objective": best.value, "settings": dict(best.params)}
    with whole_file(folder / "best.yaml") as draft:
        OmegaConf.save(OmegaConf.create(about), draft)
    settings = " ".join(_overrides(best.params))
    return (
        f"best of {len(study.trials)} trials: {best.value:.2f} with {settings}\n{folder / str(best.number)}"
    )


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; the system gives it free when the process ends, however it does.

    Raises:
        ValueError: another process is at it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"another process is at the sweep in {folder}; wait for it or end it") from None
        yield


def register(arguments: Sequence[str]) -> None:
    """Lets Hydra find the sweeper, where the command line names it.

    Hydra takes sweepers from the package hydra_plugins alone, and hands all plugins that it knows to the
    workers of a launcher, so this module is known as one of them while the sweeper is made and no longer.

    Raises:
        ValueError: Optuna is not installed.
    """
    if f"hydra/sweeper={CHOICE}" not in arguments:
        return
    try:
        import optuna  # noqa: F401 - only whether it is there
    except ImportError:
        raise ValueError(
            f"hydra/sweeper={CHOICE} needs Optuna; install it by pip install 'vl-dora[optuna]'"
        ) from None
    plugins = Plugins.instance()
    package = sys.modules.setdefault("hydra_plugins", ModuleType("hydra_plugins"))
    setattr(package, _NAME, sys.modules[__name__])
    sys.modules[f"hydra_plugins.{_NAME}"] = sys.modules[__name__]
    OptunaSweeper.__module__ = f"hydra_plugins.{_NAME}"
    plugins.register(OptunaSweeper)


def forget() -> None:
    """Undoes `register`."""
    plugins = Plugins.instance()
    plugins.class_name_to_class.pop(f"hydra_plugins.{_NAME}.OptunaSweeper", None)
    for classes in plugins.plugin_type_to_subclass_list.values():
        if OptunaSweeper in classes:
            classes.remove(OptunaSweeper)
    sys.modules.pop(f"hydra_plugins.{_NAME}", None)
    OptunaSweeper.__module__ = __name__
