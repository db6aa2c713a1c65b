"""An order in which the samples of a batch are of one kind and of like lengths, so that little is padding.

Source: LLaVA's `group_by_modality_length` (Liu et al. 2024, arXiv:2310.03744): conversations about pictures
and text-only ones are never in one step, unless at the very end. Here the order is a pure function of the
seed and the epoch, the same in every process, and goes on inside an epoch like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_modules.dataset import EpochSampler
from vl_dora.batch import Example

ORDERS = ("shuffled", "grouped")


class GroupedSampler(EpochSampler):
    """Shuffles samples into groups of one optimizer step, each of one kind and, inside, longest first.

    Sorted samples are dealt out in turn to the processes, so those of one micro-batch have like lengths in
    every process. The groups are shuffled; what does not fill a group of either kind comes last.

    Args:
        lengths: of every sample, in any unit.
        kinds: of every sample; samples of a step are of one kind.
        group_size: samples of an optimizer step over all processes.
        seed: of the order.
        num_replicas: processes that share the samples.
        rank: of this process.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        kinds: Sequence[bool],
        *,
        group_size: int,
        seed: int = 0,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(len(lengths), seed=seed, shuffle=True, num_replicas=num_replicas, rank=rank)
        self.lengths, self.kinds = np.asarray(lengths), np.asarray(kinds)
        self.group_size = group_size

    def order(self, epoch: int) -> list[int]:
        """Indices of one epoch, over all processes."""
        random = np.random.default_rng([self.seed, epoch])
        groups: list[np.ndarray] = []
        rest: list[np.ndarray] = []
        for kind in np.unique(self.kinds):
            shuffled = random.permutation(np.flatnonzero(self.kinds == kind))
            full = len(shuffled) - len(shuffled) % self.group_size
            groups += list(shuffled[:full].reshape(-1, self.group_size))
            rest.append(self._longest_first(shuffled[full:]))
        chosen = [self._longest_first(groups[i]) for i in random.permutation(len(groups))]
        return np.concatenate([*chosen, *rest]).astype(int).tolist()

    def _longest_first(self, indices: np.ndarray) -> np.ndarray:
        return indices[np.argsort(-self.lengths[indices], kind="stable")]


def words_of(example: Example) -> int:
    """Length of a sample as LLaVA counts it: words of all turns; pictures are of one length each."""
    texts = [text for turn in example.turns for text in turn]
    return sum(len(text.split()) for text in (*texts, example.prompt, example.target))
