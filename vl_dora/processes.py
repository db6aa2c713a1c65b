"""Several processes of one run: what the first one decided is handed to those that Lightning starts.

Lightning starts them with the first one's command line. Read again, it would name another time's folder, find
the folder of the run in use, or begin a whole sweep anew; so they take the composed config instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

_HANDED = "VL_DORA_HANDED_RUN"
# What Lightning leaves in the environment for the processes that it starts.
_OF_A_GROUP = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", _HANDED)


def own_rank() -> int:
    """This process's number among those of its run, as whoever started it says; 0 outside of a group."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


def hand_over(config: DictConfig, start: Path | None) -> None:
    """Leaves a run's config, and the checkpoint that it goes on from, for processes still to be started."""
    text = OmegaConf.to_yaml(config, resolve=True)
    os.environ[_HANDED] = json.dumps({"config": text, "start": None if start is None else str(start)})


def handed_over() -> tuple[DictConfig, Path | None] | None:
    """What the first process left, in one that Lightning started; None in any other."""
    if _HANDED not in os.environ or own_rank() == 0:
        return None
    handed = json.loads(os.environ[_HANDED])
    config = OmegaConf.create(handed["config"])
    assert isinstance(config, DictConfig)
    OmegaConf.set_struct(config, True)
    return config, None if handed["start"] is None else Path(handed["start"])


@contextmanager
def own_group() -> Iterator[None]:
    """Undoes at its end what a run of several processes leaves in this one, for the next run of a sweep."""
    before = {name: os.environ.get(name) for name in _OF_A_GROUP}
    try:
        yield
    finally:
        import torch.distributed as distributed

        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
