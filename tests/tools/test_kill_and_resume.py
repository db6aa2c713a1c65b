"""Real trainings are killed, go on, and end as the unbroken one; a difference is seen."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "kill_and_resume.py"


@pytest.fixture
def digest(monkeypatch):
    specification = importlib.util.spec_from_file_location("kill_and_resume", TOOL)
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "kill_and_resume", module)
    specification.loader.exec_module(module)
    return module.digest


def test_a_digest_tells_the_last_bit_and_the_order(digest):
    value = {"a": [torch.tensor(1.0), 2], "b": {"c": "d"}}
    same = {"a": [torch.tensor(1.0), 2], "b": {"c": "d"}}
    assert digest(value) == digest(same)
    nudged = {"a": [torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)), 2], "b": {"c": "d"}}
    assert digest(nudged) != digest(value)
    assert digest([1, 2]) != digest([2, 1]) != digest([[2], 1])


@pytest.mark.slow
def test_killed_trainings_end_as_the_unbroken_one_bit_for_bit(tmp_path):
    done = subprocess.run(
        [sys.executable, str(TOOL), "--times", "2", "--folder", str(tmp_path / "runs")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "VL_DORA_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "2 of 2 runs ended as the unbroken one, bit for bit." in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.endswith("| nothing |")]
    assert [row.count(" s, step ") for row in rows] == [2, 2]  # two kills each
