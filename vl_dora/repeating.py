"""The same run again: python -m vl_dora.train config=<run directory> [option=value ...]

The run's own config takes the place of the choices that train composes: Hydra reads the options that follow,
and sweeps over them, as it does over any other config. The new run has a directory of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from vl_dora.continuing import changed_settings
from vl_dora.run_directory import PROVENANCE, choice_of, read_config

NAME = "repeated_run"
_CHOICES = ("experiment", "model", "adapter")


def repeated_config(words: Sequence[str]) -> str | None:
    """Makes a run's config the one that Hydra reads, where the command line says `config=`; returns its name.

    Args:
        words: the command line without the program.

    Raises:
        FileNotFoundError, ValueError: `config` names no run directory, or a choice stands beside it.
    """
    given = [word.partition("=")[2] for word in words if word.startswith("config=")]
    if not given:
        return None
    run_dir = Path(given[-1]).expanduser().absolute()
    old = OmegaConf.to_container(read_config(run_dir, option="config"), resolve=True)
    assert isinstance(old, dict)
    _refuse_choices(words, old)
    plain = OmegaConf.to_container(OmegaConf.load(_train_file()))
    assert isinstance(plain, dict)
    logs = [one for one in plain.pop("defaults") if any(k.startswith("override hydra/") for k in one)]
    choices = choices_of(run_dir)
    # What has become an option since then has its usual value.
    node: dict[Any, Any] = {**plain, **old, "config": str(run_dir), "choices": choices, "ckpt_path": None}
    node["paths"] = {**old["paths"], "run_dir": f"runs/{choices['experiment']}/${{now:%Y-%m-%d_%H-%M-%S}}"}
    node["logger"] = _moved(old.get("logger"), old["paths"]["run_dir"])
    node |= {"trial": None, "defaults": ["_self_", *logs]}
    ConfigStore.instance().store(name=NAME, node=node)
    return NAME


def _moved(node: Any, folder: str) -> Any:
    """Settings in which the old run's folder is the new one's."""
    if isinstance(node, dict):
        return {key: _moved(value, folder) for key, value in node.items()}
    if isinstance(node, list):
        return [_moved(value, folder) for value in node]
    if isinstance(node, str) and (node == folder or node.startswith(f"{folder}/")):
        return "${paths.run_dir}" + node.removeprefix(folder)
    return node


def _train_file() -> Any:
    return resources.files("vl_dora.conf").joinpath("train.yaml")


def _refuse_choices(words: Sequence[str], old: dict[Any, Any]) -> None:
    for word in words:
        key, sign, _ = word.partition("=")
        bare = key.lstrip("+~")
        chosen = isinstance(old.get(bare), dict) or bare in (
            "experiment",
            "study",
            "debug",
            "compat",
            "recipe",
        )
        if sign and bare != "config" and chosen:
            raise ValueError(
                f"{word} is a choice, and config=<run directory> has made its own; single options may "
                f"follow it ({bare}.<name>=<value>, where there are some), or begin anew with experiment="
            )


def choices_of(run_dir: Path) -> dict[str, Any]:
    """Experiment, model and adapter that a run was started with; None for what it does not tell."""
    for name in (PROVENANCE, "results.json"):
        path = run_dir / name
        if path.is_file():
            told = json.loads(path.read_text(encoding="utf-8"))
            return {group: told.get(group) for group in _CHOICES}
    return dict.fromkeys(_CHOICES)


def chosen(config: DictConfig) -> dict[str, Any]:
    """Experiment, model and adapter of this run: chosen on the command line, or those of the run repeated."""
    again = OmegaConf.select(config, "choices")
    return {group: choice_of(group) if again is None else again[group] for group in _CHOICES}


def repeats(config: DictConfig) -> dict[str, Any] | None:
    """Which run this one repeats, and the settings in which they differ; None: it is a run of its own."""
    run_dir = OmegaConf.select(config, "config")
    if run_dir is None:
        return None
    ours = ("config:", "choices.")
    changes: list[str] | None
    try:
        changes = [line for line in changed_settings(Path(run_dir), config) if not line.startswith(ours)]
    except (ValueError, FileNotFoundError):  # it was there when this run was asked for
        changes = None
    return {"run": run_dir, "changes": changes}
