"""Finished and failed runs as they are compared: settings, results, answers, curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vl_dora.reports.curve import read_metrics
from vl_dora.reports.results import read_results

# Settings in which runs may differ without being another method or another experiment.
_FREE = ("paths.", "logger.", "checkpoint.", "analysis.", "baselines.", "hydra.", "trial")
_FREE_WORDS = frozenset(
    {"seed", "threads", "ckpt_path", "evaluate_before", "movement_check_step", "encode_once"}
    | {"trainer.enable_progress_bar", "trainer.log_every_n_steps", "data.num_workers", "data.keep_in_memory"}
)


@dataclass(frozen=True)
class Trial:
    """One run directory.

    Args:
        path: the directory.
        settings: dotted name -> value of its whole config.
        results: what `results.json` holds; None for a run that did not finish.
        error: why it did not.
        answers: id -> line of `predictions.jsonl`, in file order.
        curve: column of the log -> (steps, values).
    """

    path: Path
    settings: Mapping[str, Any]
    results: Mapping[str, Any] | None = None
    error: str | None = None
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curve: Mapping[str, tuple[list[float], list[float]]] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return int(self.settings["seed"])

    @property
    def adapter(self) -> str:
        """The name of its adapter; where a run that failed has none, the method of the language part."""
        if self.results and self.results.get("adapter"):
            return str(self.results["adapter"])
        return str(
            self.settings.get("adapter.language.method", self.settings.get("adapter.language", "unknown"))
        )

    @cached_property  # asked for once a sample
    def scores(self) -> dict[str, float]:
        """id -> score of the sample, percent; samples that do not count are absent."""
        return {name: line["score"] for name, line in self.answers.items() if line.get("score") is not None}


def read_trial(path: Path, config: Mapping[str, Any]) -> Trial:
    """Everything of a run directory that a comparison shows.

    Args:
        path: the run directory.
        config: its config as plain dicts and lists.

    Raises:
        ValueError: a file of it is damaged.
    """
    settings = flattened(config)
    try:
        results = read_results(path)
    except FileNotFoundError:
        return Trial(path, settings, error=_failure(path))
    log = path / "metrics.csv"
    return Trial(
        path,
        settings,
        results,
        answers=_answers(path / "predictions.jsonl"),
        curve=read_metrics(log) if log.is_file() else {},
    )


def _failure(path: Path) -> str:
    try:
        return str(json.loads((path / "failed.json").read_text(encoding="utf-8"))["error"])
    except (OSError, ValueError, KeyError):
        return "did not finish, and left no error: it was stopped, or still runs"


def _answers(path: Path) -> dict[str, Mapping[str, Any]]:
    if not path.is_file():
        raise ValueError(f"{path} does not exist; the run directory is not whole")
    found: dict[str, Mapping[str, Any]] = {}
    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, start=1):
            try:
                line = json.loads(text)
                found[line["id"]] = line
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{path}, line {number} is no prediction") from None
    return found


def flattened(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name -> value; lists are values."""
    if not isinstance(config, Mapping) or not config:
        return {prefix.removesuffix("."): config}
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flattened(value, f"{prefix}{key}.")
    return found


def differing(trials: Sequence[Trial]) -> list[str]:
    """Names of settings that are not the same in all trials, seeds and folders left out, in their order."""
    names = dict.fromkeys(name for trial in trials for name in trial.settings)
    return [
        name
        for name in names
        if not (name.startswith(_FREE) or name in _FREE_WORDS or name.endswith(".seed"))
        and len({json.dumps(trial.settings.get(name), default=str) for trial in trials}) > 1
    ]


def labels(trials: Sequence[Trial]) -> list[str]:
    """What each trial is called: its adapter, and settings that tell it from others, shortest form.

    Trials of different seeds have the same label; trials that differ otherwise never do.
    """
    names = differing(trials)
    by_adapter: dict[str, set[str]] = {}
    for trial in trials:
        own = {n: v for n, v in trial.settings.items() if n.startswith("adapter.")}
        by_adapter.setdefault(trial.adapter, set()).add(json.dumps(own, sort_keys=True, default=str))
    # Where an adapter's name says all, its settings need not be told.
    plain = all(len(kinds) == 1 for kinds in by_adapter.values())
    told = [name for name in names if not (plain and name.startswith("adapter."))]
    if not plain:
        # Of the adapter's settings those that differ within one name.
        told = [n for n in told if not n.startswith("adapter.") or _differs_within(trials, n)]
    return [" ".join([trial.adapter, *_told(trial, told)]) for trial in trials]


def _differs_within(trials: Sequence[Trial], name: str) -> bool:
    seen: dict[str, set[str]] = {}
    for trial in trials:
        seen.setdefault(trial.adapter, set()).add(json.dumps(trial.settings.get(name), default=str))
    return any(len(values) > 1 for values in seen.values())


def _told(trial: Trial, names: Iterable[str]) -> list[str]:
    return [f"{name.rpartition('.')[2]}={trial.settings[name]}" for name in names if name in trial.settings]
