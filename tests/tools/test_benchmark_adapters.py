"""The benchmark of adapters runs every kind of workload and writes what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("peft", reason="PEFT is one of the contenders")
REPOSITORY = Path(__file__).parents[2]
LOADS = ["square_64", "small_1792", "dropout_512", "checkpoint_256", "bf16_4096_1024", "decode", "bart_2+2"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/benchmark_adapters.py", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_tiny_workloads_give_times_memory_and_errors(tmp_path):
    out = tmp_path / "figures.json"
    done = run("--quick", "--runs", "2", "--workload", *LOADS, "--out", str(out))
    assert done.returncode == 0, done.stderr
    results = {result["workload"]: result for result in json.loads(out.read_text())["results"]}
    assert list(results) == LOADS
    for name, result in results.items():
        assert f"### {name}" in done.stdout
        for title, row in result["contenders"].items():
            assert len(row["seconds"]) == 2 and min(row["seconds"]) > 0
            if "error" in row:
                limit = 3e-2 if "bf16" in name else 1e-5
                assert max(row["error"].values()) < limit, (name, title)
    # Sizes do not depend on the machine: 24 tokens, 32 inputs, 48 outputs, rank 4, float32.
    rows = results["square_64"]["contenders"]
    low_rank = 4 * 24 * 4
    assert rows["DoRA, ours, kept norm"]["kept_beyond_input_and_output_bytes"] == low_rank
    assert rows["LoRA, fused (ours)"]["kept_beyond_input_and_output_bytes"] == low_rank
    assert rows["DoRA, ours merged, kept"]["kept_beyond_input_and_output_bytes"] == 0
    assert rows["DoRA, ours merged, kept"]["held_bytes"] == 4 * (32 * 48 + 48)
    assert rows["DoRA, PEFT"]["kept_beyond_input_and_output_bytes"] >= 2 * 4 * 24 * 48
    assert all(row["peak_transient_bytes"] >= 4 * 24 * 48 for row in rows.values())


def test_one_run_is_too_few():
    done = run("--runs", "1")
    assert done.returncode == 2
    assert "--runs 1 must be at least 2" in done.stderr
