"""What a run was made by: the code's git state, versions, and the machine; written when it begins."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("vl-dora", "torch", "transformers", "timm", "lightning", "hydra-core", "numpy")
_PATIENCE = 20  # seconds for git on a slow disk


def versions() -> dict[str, str]:
    """Installed versions of Python and of what results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit of the repository that holds this code, and whether anything in it was changed since.

    Args:
        folder: whose repository; None: of this package.

    Returns:
        `commit` and `dirty` (changed or new files that git does not ignore), or None where the folder is in
        no repository, or not among the files of one (installed below it), or there is no git.
    """
    folder = Path(__file__).resolve().parent if folder is None else folder
    if shutil.which("git") is None or _git(folder, "ls-files", "--", ".") in (None, ""):
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *words: str) -> str | None:
    """What git says, without the last line break; None where it fails."""
    # A repository named in the environment (by a hook of git's, say) is another one.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, env=clean, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def hardware() -> dict[str, Any]:
    """The machine: processor, cores, threads of torch, memory in MiB, GPUs with theirs."""
    import torch

    gpus = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_mib": _memory(),
        "gpus": [{"name": gpu.name, "memory_mib": gpu.total_memory >> 20} for gpu in gpus],
        "cuda": torch.version.cuda if gpus else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _memory() -> int | None:
    if sys.platform == "win32" or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
