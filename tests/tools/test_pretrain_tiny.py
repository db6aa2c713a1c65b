"""The pretraining command makes a base that loads, with its card."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from vl_dora.models.base import load_base, load_tokenizer
from vl_dora.models.vision import TinyTower
from vl_dora.models.vl_bart import VLBart

REPOSITORY = Path(__file__).parents[2]


def test_command_writes_a_base_that_loads(tmp_path):
    out = tmp_path / "tiny"
    few = (
        "--samples 40 --tower-samples 40 --held-out 8 --tower-steps 2 --steps 2 --save-every 2 --batch-size 8"
    )
    command = [sys.executable, "tools/pretrain_tiny.py", "scenes", "--out", str(out), *few.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    facts = json.loads((out / "network.json").read_text())
    network = VLBart(**facts["network"], vision=TinyTower())
    load_base(network, str(out))
    assert len(load_tokenizer(str(out))) == facts["network"]["text"]["vocab_size"]
    assert not torch.equal(network.vision.norms[0].running_mean, torch.zeros(16))
    card = (out / "README.md").read_text()
    assert all(command in card for command in facts["commands"])
    assert all(kind.replace("_", " ") in card for kind in facts["scores"])
