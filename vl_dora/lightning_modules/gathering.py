"""Predictions of all processes in one list, each sample once."""

from __future__ import annotations

from collections.abc import Sequence

import torch.distributed as distributed

from vl_dora.batch import Prediction


def gathered(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Every process's predictions, in the order of the samples where they were dealt out in turn.

    A distributed sampler repeats samples so that all processes have equally many; the first
    prediction of an id counts.
    """
    parts = [list(predictions)]
    if distributed.is_available() and distributed.is_initialized():
        parts = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(parts, list(predictions))
    longest = max(map(len, parts))
    first: dict[str, Prediction] = {}
    for prediction in (part[i] for i in range(longest) for part in parts if i < len(part)):
        first.setdefault(prediction.id, prediction)
    return list(first.values())
