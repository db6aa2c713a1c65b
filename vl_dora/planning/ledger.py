"""A ledger of tensor memory: how many bytes are alive, of what kind, and the most there ever were.

The most is kept for each place, a name that the caller gives to what runs from then on. Every operator that
torch runs inside of the ledger is seen, those of the backward pass included. A storage counts from the
operator that made it until nothing refers to it, once, however many views there are. What a kernel allocates
for itself and frees before it returns is not seen.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Moment:
    """A state of the ledger.

    Args:
        total: bytes alive.
        kinds: kind -> bytes alive, without those of which there are none.
    """

    total: int
    kinds: dict[str, int]


class Ledger(TorchDispatchMode):
    """Counts the bytes of living tensors, real ones and fake ones alike.

    Args:
        granularity: bytes to whose multiples every storage is rounded up (512 in torch's allocator for GPUs).

    Attributes:
        kind: what newly made storages are entered as.
        place: what moments are kept under.
        alive: kind -> bytes alive now.
        highest: place -> the moment at which the most bytes were alive there.
    """

    def __init__(self, granularity: int = 1) -> None:
        super().__init__()
        self.granularity = granularity
        self.kind = "other"
        self.place = "start"
        self.alive: Counter[str] = Counter()
        self.highest: dict[str, Moment] = {}
        self._total = 0
        self._entries: dict[int, tuple[weakref.ref, str, int]] = {}

    @property
    def total(self) -> int:
        """Bytes alive now."""
        return self._total

    @property
    def now(self) -> Moment:
        """What is alive now."""
        return Moment(self._total, {kind: size for kind, size in self.alive.items() if size})

    @property
    def peak(self) -> int:
        """The most bytes that were alive at once, wherever that was."""
        return max((moment.total for moment in self.highest.values()), default=0)

    def enter(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Enters tensors that exist already under a kind, or moves what is known to that kind."""
        for tensor in tensors:
            self._see(tensor, kind, move=True)
        self._watch_peak()

    def begin(self, place: str) -> None:
        """Forgets the moments of all places and begins with one."""
        self.highest.clear()
        self.place = place
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
        known = self.highest.get(self.place)
        if known is None or self._total > known.total:
            self.highest[self.place] = self.now
