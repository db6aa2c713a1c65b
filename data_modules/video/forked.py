"""A forked loader worker never collects what its parent left in cycles.

Readers of decord and scalers of FFmpeg join their threads when they go. A forked process has no such
threads, and aborts or waits for ever when it collects one that its parent had left in a cycle (an error's
traceback, a frame of PyAV). Hooks of other libraries run right after a fork and may set off a collection,
hence none until all is frozen.
"""

from __future__ import annotations

import gc
import os

_collecting = True


def _before_fork() -> None:
    global _collecting
    _collecting = gc.isenabled()
    gc.disable()


def _in_parent() -> None:
    if _collecting:
        gc.enable()


def _in_child() -> None:
    gc.freeze()
    if _collecting:
        gc.enable()


def protect() -> None:
    """Holds for every fork of this process from now on; nothing on a platform without fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
