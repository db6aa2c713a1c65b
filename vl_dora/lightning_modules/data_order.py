"""Evidence of what a run was trained on: one digest of the ids of all samples, in the order they came."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import lightning
import torch.distributed as distributed


@dataclass(frozen=True)
class Seen:
    """What was seen so far.

    Args:
        digest: hexadecimal; empty before the first batch.
        samples: how many there were.
    """

    digest: str = ""
    samples: int = 0

    def then(self, ids: Sequence[str]) -> Seen:
        """With one batch more, its ids chained to the digest."""
        text = f"{self.digest}\n" + "\n".join(ids)
        return Seen(hashlib.sha256(text.encode()).hexdigest(), self.samples + len(ids))


def together(parts: Sequence[Seen]) -> Seen:
    """What several processes saw, in the order of their ranks; of one process its own."""
    if len(parts) == 1:
        return parts[0]
    samples = sum(part.samples for part in parts)
    digests = "\n".join(part.digest for part in parts)
    return Seen(hashlib.sha256(digests.encode()).hexdigest() if samples else "", samples)


class DataOrder(lightning.Callback):
    """Chains the ids of every training batch into one digest; two runs with the same digest saw the same.

    Every process chains its own, and a checkpoint holds those of all. Where a run goes on with another number
    of processes, the first one goes on from what all have seen together.

    Attributes:
        own: what this process has seen.
    """

    def __init__(self) -> None:
        self.own = Seen()

    def of_all(self) -> Seen:
        """What all processes have seen together. All of them must call it."""
        return together(self._parts())

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *args: Any) -> None:
        self.own = self.own.then([example.id for example in batch.examples])

    def state_dict(self) -> dict[str, Any]:
        return {"seen": [asdict(part) for part in self._parts()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        parts = [Seen(**part) for part in state["seen"]]
        rank, now = (distributed.get_rank(), distributed.get_world_size()) if _in_a_group() else (0, 1)
        if len(parts) == now:
            self.own = parts[rank]
        else:
            self.own = together(parts) if rank == 0 else Seen()

    def _parts(self) -> list[Seen]:
        if not _in_a_group():
            return [self.own]
        parts: list[Seen] = [Seen()] * distributed.get_world_size()
        distributed.all_gather_object(parts, self.own)
        return parts


def _in_a_group() -> bool:
    return distributed.is_available() and distributed.is_initialized()
