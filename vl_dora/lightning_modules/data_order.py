"""Evidence of what a run was trained on: one digest of the ids of all samples, in the order they came."""

from __future__ import annotations

import hashlib
from typing import Any

import lightning


class DataOrder(lightning.Callback):
    """Chains the ids of every training batch into one digest; two runs with the same digest saw the same.

    Attributes:
        digest: hexadecimal; empty before the first batch.
        samples: how many were seen, by this process.
    """

    def __init__(self) -> None:
        self.digest = ""
        self.samples = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *args: Any) -> None:
        ids = "\n".join(example.id for example in batch.examples)
        self.digest = hashlib.sha256(f"{self.digest}\n{ids}".encode()).hexdigest()
        self.samples += len(batch)

    def state_dict(self) -> dict[str, Any]:
        return {"digest": self.digest, "samples": self.samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.digest, self.samples = state["digest"], state["samples"]
