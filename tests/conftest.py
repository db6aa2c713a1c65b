"""What all tests share: no network, one thread, and the folder of real data beside the project."""

from __future__ import annotations

import os
from pathlib import Path

# Set before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data, `VL_DORA_SHARED` or `shared` beside the project; skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("VL_DORA_SHARED", beside))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder} has no folder data; set VL_DORA_SHARED")
    return folder
