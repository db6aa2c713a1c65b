"""Where a sweep lies when nothing names its folder."""

from __future__ import annotations

import json
import subprocess
import sys


def test_a_study_lies_under_its_name_and_tells_of_failed_trials(tmp_path):
    # The jobs themselves stop at once: there is no such folder.
    line = ["-m", "vl_dora.train", "study=norm_gradient", "seed=1", "data.root=nowhere"]
    done = subprocess.run([sys.executable, *line], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(
        "error: 2 jobs of the sweep failed"
    )
    for number in range(2):
        failed = json.loads((tmp_path / f"runs/studies/norm_gradient/vqa/{number}/failed.json").read_text())
        assert "nowhere" in failed["error"]
