"""A ledger of tensor memory: how many bytes are alive, of what kind, and the most there ever were.

Every operator that torch runs inside of the ledger is seen, those of the backward pass included. A storage
counts from the operator that made it until nothing refers to it, once, however many views there are. What a
kernel allocates for itself and frees before it returns is not seen.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Ledger(TorchDispatchMode):
    """Counts the bytes of living tensors, real ones and fake ones alike.

    Args:
        granularity: bytes to whose multiples every storage is rounded up (512 in torch's allocator for GPUs).

    Attributes:
        kind: what newly made storages are entered as.
        alive: kind -> bytes alive now.
        peak: the most bytes that were alive at once.
        at_peak: kind -> bytes alive at that moment.
        peak_kind: `kind` at that moment.
    """

    def __init__(self, granularity: int = 1) -> None:
        super().__init__()
        self.granularity = granularity
        self.kind = "other"
        self.alive: Counter[str] = Counter()
        self.peak = 0
        self.at_peak: dict[str, int] = {}
        self.peak_kind = self.kind
        self._total = 0
        self._entries: dict[int, tuple[weakref.ref, str, int]] = {}

    @property
    def total(self) -> int:
        """Bytes alive now."""
        return self._total

    def enter(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Enters tensors that exist already under a kind, or moves what is known to that kind."""
        for tensor in tensors:
            self._see(tensor, kind, move=True)
        self._watch_peak()

    def move(self, source: str, target: str) -> None:
        """Everything alive of one kind becomes another."""
        for key, (reference, kind, size) in self._entries.items():
            if kind == source:
                self._entries[key] = (reference, target, size)
        self.alive[target] += self.alive.pop(source, 0)

    def start_peak(self) -> None:
        """Forgets earlier peaks."""
        self.peak = 0
        self._watch_peak()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in out if isinstance(out, tuple | list) else (out,):
            if isinstance(leaf, Tensor):
                self._see(leaf, self.kind, move=False)
        self._watch_peak()
        return out

    def _see(self, tensor: Tensor, kind: str, *, move: bool) -> None:
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._entries.get(key)
        size = -(-storage.nbytes() // self.granularity) * self.granularity
        if known is not None:
            if (known[1], known[2]) != (kind if move else known[1], size):
                self._remove(key)
                self._add(key, known[0], kind if move else known[1], size)
            return

        def gone(_: object) -> None:
            self._remove(key)

        self._add(key, weakref.ref(storage, gone), kind, size)

    def _add(self, key: int, reference: weakref.ref, kind: str, size: int) -> None:
        self._entries[key] = (reference, kind, size)
        self.alive[kind] += size
        self._total += size

    def _remove(self, key: int) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.alive[entry[1]] -= entry[2]
            self._total -= entry[2]

    def _watch_peak(self) -> None:
        if self._total > self.peak:
            self.peak, self.peak_kind = self._total, self.kind
            self.at_peak = {kind: size for kind, size in self.alive.items() if size}
