"""What a run would train and cost: python -m vl_dora.plan experiment=vqa [device_memory=24GB] [output=json]

The network is built on the meta device and one step of it is run on shapes alone: no weights, no network
access, and no data, though lengths are taken from it where it is there.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch

DEVICES = ("cpu", "cuda")


def plan(config: DictConfig) -> int:
    """Writes what a config would train and need to standard output; returns how many numbers would train.

    Raises:
        ValueError: an option outside what is allowed.
    """
    # Before anything that would ask a hub for a tokenizer is imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    _check(config)
    from vl_dora.planned_run import PlannedRun
    from vl_dora.planning.memory_units import parsed

    memory = None if config.device_memory is None else parsed("device_memory", config.device_memory)
    run = PlannedRun.of(config, _device(config), memory)
    if config.output == "json":
        text = json.dumps({**run.audit.to_dict(), **run.to_dict()}, indent=2)
    else:
        text = f"{run.audit.table()}\n\n{run.table()}"
    sys.stdout.write(f"{text}\n")
    return run.audit.trainable


def _check(config: DictConfig) -> None:
    from vl_dora.planning.asked import check_asked
    from vl_dora.planning.memory_units import parsed
    from vl_dora.planning.step import PRECISIONS

    if config.output not in ("table", "json"):
        raise ValueError(f"output={config.output} must be table or json")
    if config.device is not None and config.device not in DEVICES:
        raise ValueError(f"device={config.device} must be {' or '.join(DEVICES)}, or null")
    if config.device_memory is not None:
        parsed("device_memory", config.device_memory)
    check_asked(config)
    if str(config.trainer.precision) not in PRECISIONS:
        raise ValueError(
            f"trainer.precision={config.trainer.precision} must be one of {', '.join(PRECISIONS)}"
        )


def _device(config: DictConfig) -> str:
    """Whose kernels are planned: as asked for, else a GPU's where memory is named, else the trainer's."""
    if config.device is not None:
        return str(config.device)
    if config.device_memory is not None or config.trainer.accelerator in ("gpu", "cuda"):
        return "cuda"
    import torch

    return "cuda" if config.trainer.accelerator == "auto" and torch.cuda.is_available() else "cpu"


def audit_of(config: DictConfig) -> Any:
    """What `config.adapter` makes of `config.model.network`, both as they would be trained."""
    return module_on_meta(config).audit


def module_on_meta(config: DictConfig) -> Any:
    """The Lightning module of a config, adapted, without weights: shapes alone."""
    from vl_dora.building import made, plain

    return made(config.model.module)(
        network=network_on_meta(config),
        task=made(config.task),
        tokenizer=None,
        selection=plain(config.adapter),
        optimizer=made(config.optim),
        generation=plain(config.generation),
    )


def network_on_meta(config: DictConfig) -> Any:
    """The network of a config without weights: shapes alone."""
    import torch

    from vl_dora.building import made

    # A tower's own weights would be read, or fetched, while it is built.
    if OmegaConf.select(config, "model.network.vision.weights") is not None:
        config.model.network.vision.weights = None
    with torch.device("meta"):
        return made(config.model.network)


def main() -> None:
    """The command line."""
    launch("plan", plan)


if __name__ == "__main__":
    main()
