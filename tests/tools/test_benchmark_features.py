"""The benchmark runs both ways over the same pictures and says what it measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_benchmark_reports_every_pair_and_their_median():
    options = "--tower resnet10t.c3_in1k --text tiny --pictures 4 --batch-size 2 --pairs 3"
    command = [sys.executable, "tools/benchmark_features.py", *options.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *pairs, last = done.stdout.splitlines()
    ratios = [float(re.search(r"([\d.]+) times$", line).group(1)) for line in pairs]
    assert len(ratios) == 3
    assert f"stored features are {sorted(ratios)[1]:.2f} times faster per epoch" in last
    assert last.startswith("resnet10t.c3_in1k, ") and "4 pictures, batch 2, one thread" in last
