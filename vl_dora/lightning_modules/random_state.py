"""The states of all random generators that a training may draw from, of every process of a run."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed

log = logging.getLogger(__name__)


def random_states() -> list[dict[str, Any]]:
    """One state a process, by rank; tensors and plain values alone. All processes must call it."""
    own = _own()
    if not _together():
        return [own]
    states: list[dict[str, Any]] = [{} for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(states, own)
    return states


def set_random_state(states: list[dict[str, Any]]) -> None:
    """Puts this process's state back.

    Where there were as many processes as there are now, each draws what it would have drawn unbroken.
    """
    rank, now = (distributed.get_rank(), distributed.get_world_size()) if _together() else (0, 1)
    if len(states) != now and rank == 0:
        log.warning(
            "the checkpoint is of %d processes, this run has %d: from here on samples come in another "
            "order, and dropout masks differ",
            len(states),
            now,
        )
    state = states[rank % len(states)]
    torch.set_rng_state(state["torch"])
    random.setstate(_tuples(state["python"]))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def _own() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": [str(name), np.asarray(keys).tolist(), *rest],
    }


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _tuples(given: Any) -> Any:
    return tuple(_tuples(one) for one in given) if isinstance(given, list | tuple) else given
