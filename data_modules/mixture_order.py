"""The order of batches when several tasks are learned at once: one task a step.

Source: VL-Adapter's multi-task loader (Sung et al. 2022, arXiv:2112.06825). Its "roundrobin" is called
`proportional` here: every task's batches once an epoch, shuffled together, so that a task comes up as
often as its size asks. `balanced` gives every task equally many batches, as many in all.

The order is a pure function of (seed, epoch), the same in every process, which all do the same task in the
same step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, islice

import numpy as np

from data_modules.dataset import EpochSampler

ORDERS = ("proportional", "balanced", "file")

Key = tuple[str, int, tuple[int, ...]]


class MixtureSampler(EpochSampler):
    """Yields (task, epoch, indices), one batch each.

    Args:
        sizes: task -> number of its samples.
        batch_sizes: task -> samples a batch and process.
        order: proportional or balanced, both shuffled; file: task after task in file order, each sample once.
        seed: of the order.
        num_replicas: processes that share the samples; the first ones of a task's order are repeated so
            that all get equally many.
        rank: of this process.

    Raises:
        ValueError: an unknown order.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        batch_sizes: Mapping[str, int],
        *,
        order: str,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"data.order={order!r} must be proportional or balanced")
        super().__init__(
            sum(sizes.values()),
            seed=seed,
            shuffle=order != "file",
            num_replicas=num_replicas,
            rank=rank,
        )
        self.sizes, self.batch_sizes, self.kind = dict(sizes), dict(batch_sizes), order

    def num_batches(self) -> dict[str, int]:
        """Batches of each task in an epoch, of one process."""
        once = {n: -(-self._share(n) // self.batch_sizes[n]) for n in self.sizes}
        if self.kind != "balanced":
            return once
        return dict.fromkeys(once, max(1, round(sum(once.values()) / len(once))))

    def tasks(self, epoch: int) -> list[str]:
        """The task of every step of an epoch."""
        each = [name for name, number in self.num_batches().items() for _ in range(number)]
        if not self.shuffle:
            return each
        return [each[i] for i in np.random.default_rng([self.seed, epoch]).permutation(len(each))]

    def __len__(self) -> int:
        return sum(self.num_batches().values())

    def __iter__(self) -> Iterator[Key]:  # type: ignore[override]
        """This process's batches of the epoch, from the `skipped`-th on."""
        batches = {name: self._batches(name, self.epoch) for name in self.sizes}
        every = ((name, self.epoch, next(batches[name])) for name in self.tasks(self.epoch))
        return islice(every, self.skipped, None)

    def _share(self, name: str) -> int:
        """Samples of a task that one process sees in a pass."""
        return -(-self.sizes[name] // self.num_replicas)

    def _batches(self, name: str, epoch: int) -> Iterator[tuple[int, ...]]:
        """Batches of a task, pass after pass; every pass over the task has an order of its own."""
        place, size = list(self.sizes).index(name), self.batch_sizes[name]
        for number in count():
            order = np.arange(self.sizes[name])
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch, place, number]).permutation(order)
            mine = np.resize(order, self._share(name) * self.num_replicas)[self.rank :: self.num_replicas]
            for start in range(0, len(mine), size):
                yield tuple(mine[start : start + size].tolist())
