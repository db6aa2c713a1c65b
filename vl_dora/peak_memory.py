"""The most memory that one run had, also where a process has had others before it, as in a sweep."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5): the highest resident size becomes the present one


def start_anew() -> None:
    """Forgets the peak so far, after giving back what an earlier run left; on Linux, and of torch on a GPU.

    Elsewhere `peak_memory` stays the highest of the whole process.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    # Freed memory that glibc holds would count for the next run.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")


def peak_memory() -> dict[str, float | None]:
    """MiB, the highest since `start_anew`: resident size of the process, torch's on the GPU (or None)."""
    gpu = round(torch.cuda.max_memory_allocated() / 2**20, 1) if torch.cuda.is_available() else None
    return {"process": _resident(), "gpu": gpu}


def _resident() -> float | None:
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
