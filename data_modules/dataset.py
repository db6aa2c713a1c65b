"""One split as a map-style data set, and the order in which it is gone through.

Everything random is a pure function of (seed, epoch, index): the order of an epoch, and which of
several human answers is the target. The number of loader workers changes nothing, and an epoch
that was cut short goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from data_modules.collate import Sample
from data_modules.reading import Places, Visuals, placed
from vl_dora.batch import Batch, ClipRef, Example, ImageRef


class VisionLanguageDataset(Dataset):
    """Examples with their pictures.

    Args:
        examples: of one split.
        visuals: where pictures come from.
        training: targets are drawn from `Example.targets` where there are any.
        seed: of that draw.
        places: tells the row of a picture that cannot be loaded.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        visuals: Visuals,
        *,
        training: bool = False,
        seed: int = 0,
        places: Places | None = None,
    ) -> None:
        self.examples = examples
        self.visuals = visuals
        self.training = training
        self.seed = seed
        self.places = places

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample | ValueError:
        """The sample of (epoch, index), or of an index in epoch 0.

        A sample that cannot be loaded is returned as its ValueError: raised in a worker it would
        reach the user wrapped in the worker's traceback. `ResumableLoader` raises it.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        try:
            return self.sample(epoch, index)
        except ValueError as error:
            return error

    def sample(self, epoch: int, index: int) -> Sample:
        """One sample of one epoch; a clip's reference then tells which frames were shown.

        Raises:
            ValueError: a picture or a clip cannot be used.
        """
        example = self.examples[index]
        target, weight = self._target(example, epoch, index)
        try:
            visuals = tuple(self._load(ref) for ref in example.images)
            if example.frames is not None:
                shown, frames = self._load(example.frames)
                example, visuals = replace(example, frames=shown), (*visuals, *frames)
        except ValueError as error:
            raise type(error)(f"sample {example.id!r}: {error}") from None
        return Sample(example, target, weight, visuals)

    def _load(self, ref: ImageRef | ClipRef) -> Any:
        with placed(self.places, ref):
            return self.visuals.load_clip(ref) if isinstance(ref, ClipRef) else self.visuals.load(ref)

    def _target(self, example: Example, epoch: int, index: int) -> tuple[str | None, float]:
        """The text to learn and its weight."""
        if not (self.training and example.targets):
            return example.target or None, 1.0
        ends = np.cumsum([score for _, score in example.targets])
        draw = np.random.default_rng([self.seed, epoch, index]).random() * ends[-1]
        return example.targets[int(np.searchsorted(ends, draw, side="right"))]


class EpochSampler(DistributedSampler):
    """Yields (epoch, index) for every index, shuffled anew in each epoch, shared out over processes.

    Lightning calls `set_epoch` before each epoch and, this being a DistributedSampler, leaves it
    in place in multi-process runs; there the last samples are repeated so that all get equally many.

    Args:
        num_samples: size of the data set.
        seed: of the order.
        shuffle: False keeps the order of the file.
        num_replicas: processes that share the samples.
        rank: of this process.
    """

    def __init__(
        self, num_samples: int, *, seed: int = 0, shuffle: bool, num_replicas: int = 1, rank: int = 0
    ) -> None:
        indices: Any = range(num_samples)  # only its length is used
        super().__init__(indices, num_replicas, rank, shuffle=shuffle, seed=seed)
        self.num_indices = num_samples
        self.skipped = 0

    def order(self, epoch: int) -> list[int]:
        """Indices of one epoch, over all processes."""
        if not self.shuffle:
            return list(range(self.num_indices))
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_indices).tolist()

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """This process's (epoch, index) pairs, from the `skipped`-th on."""
        order = self.order(self.epoch)
        order = (order * -(-self.total_size // max(len(order), 1)))[: self.total_size]
        mine = order[self.rank : self.total_size : self.num_replicas]
        return iter([(self.epoch, index) for index in mine[self.skipped :]])


class ResumableLoader(DataLoader):
    """A loader over an `EpochSampler` that goes on inside an epoch after a restart.

    Lightning stores `state_dict()` in a checkpoint and gives it back before the first batch.

    Attributes:
        waits: seconds for which each batch was waited for, over all passes.
    """

    waits: list[float]
    _epoch: int | None = None
    _delivered: int = 0
    _resume: tuple[int, int] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = []

    def state_dict(self) -> dict[str, Any]:
        """The epoch and how many of its batches were handed out."""
        return {"epoch": self._epoch, "batches": self._delivered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass, if it is over the stored epoch, starts behind the batches handed out."""
        if state["epoch"] is not None:
            self._resume = (state["epoch"], state["batches"])

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Batches of the sampler's epoch.

        Raises:
            ValueError: a sample could not be loaded, worded as where it was found.
        """
        sampler = self.sampler
        epoch = getattr(sampler, "epoch", 0)
        resume, self._resume = self._resume, None
        start = resume[1] if resume and resume[0] == epoch and resume[1] < len(self) else 0
        self._epoch, self._delivered = epoch, start
        if isinstance(sampler, EpochSampler):
            sampler.skipped = start * (self.batch_size or 1)
        batches = super().__iter__()
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            self.waits.append(time.perf_counter() - asked)
            if isinstance(batch, ValueError):
                raise batch
            self._delivered += 1
            yield batch
