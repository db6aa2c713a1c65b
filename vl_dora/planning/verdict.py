"""Whether a step fits a device, and what to change where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vl_dora.planning.memory_units import shown

# What a CUDA process takes for itself before the first tensor: 0.3 to 0.6 GiB by card and driver.
CONTEXT = {"cpu": 0, "cuda": 2**29}
# Batches that are run on shapes in search of the largest that fits.
PROBES = 5


@dataclass(frozen=True)
class Change:
    """A change of options under which the step fits.

    Args:
        options: as typed on the command line.
        peak: bytes then.
    """

    options: str
    peak: int


@dataclass(frozen=True)
class Verdict:
    """Whether a step fits.

    Args:
        memory: bytes of the device.
        needed: bytes: the peak of the step, gradient buckets of DDP, and what CUDA takes for itself.
        changes: what would make it fit, each by itself; empty where it fits, or nothing does.
        own: bytes of `needed` that CUDA takes for itself.
    """

    memory: int
    needed: int
    changes: tuple[Change, ...] = ()
    own: int = 0

    @property
    def fits(self) -> bool:
        """Whether all that is needed is there."""
        return self.needed <= self.memory

    def sentence(self, named: str) -> str:
        """One line.

        Args:
            named: `device_memory` as it was given.
        """
        share = 100 * self.needed / self.memory
        if self.fits:
            near = "; little is left for what an allocator loses" if share > 90 else ""
            own = f" (of which {shown(self.own)} are CUDA's own)" if self.own else ""
            used = f"{shown(self.needed)} of {shown(self.memory)}{own}, {share:.0f} %"
            return f"fits device_memory={named}: {used}{near}"
        need = f"does not fit device_memory={named}: {shown(self.needed)} of {shown(self.memory)} are needed"
        if not self.changes:
            return f"{need}; neither one sample at a time nor another way makes it fit; take a smaller model"
        options = ", or ".join(f"{change.options} ({shown(change.peak)})" for change in self.changes)
        return f"{need}; it fits with {options}"


def largest_batch(
    samples: int, memory: int, peak_of: Callable[[int], int], peak: int, *, still: int
) -> Change | None:
    """A smaller micro-batch that fits, the largest or nearly so; what is named has been measured.

    Args:
        samples: of the micro-batch that does not fit.
        memory: bytes of the device.
        peak_of: bytes needed with so many samples.
        peak: bytes needed with `samples`.
        still: bytes that every batch needs, however small.
    """
    if still > memory:
        return None
    low, held, high, over, near = 0, still, samples, peak, False
    for _ in range(PROBES):
        if high - low <= 1:
            break
        number = low + int((memory - held) * (high - low) / max(1, over - held))
        if number <= low:
            # The line says that no more fit. It is believed where the next number does not; else, memory not
            # growing along a line (other kernels for more tokens, another peak), the gap is halved by ratio.
            number = low + 1 if near else round((low * high) ** 0.5)
        number = min(max(number, low + 1), high - 1)
        found = peak_of(number)
        near = found <= memory and number > low + 1
        if found <= memory:
            low, held = number, found
        else:
            high, over = number, found
    return Change(f"data.batch_size={low}", held) if low else None


def changes(tried: Sequence[tuple[str, int]], memory: int) -> tuple[Change, ...]:
    """Those of (options, bytes needed) that fit."""
    return tuple(Change(options, peak) for options, peak in tried if peak <= memory)
