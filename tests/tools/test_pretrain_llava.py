"""The pretraining command makes a tiny LLaVA that loads, with its card."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vl_dora.models.llava import Llava
from vl_dora.models.llava_base import load_base, load_tokenizer

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_command_writes_a_base_that_loads_and_goes_on(tmp_path):
    few = "--samples 60 --held-out 4 --tower-steps 2 --word-steps 2 --projector-steps 2"
    few += " --steps 2 --save-every 2 --batch-size 4 --muon"
    for out, more in (("first", []), ("second", ["--start-from", str(tmp_path / "first")])):
        command = [
            sys.executable,
            "tools/pretrain_llava.py",
            "--out",
            str(tmp_path / out),
            *few.split(),
            *more,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "second" / "network.json").read_text())
    assert len(facts["commands"]) == 2 and facts["steps"] == 4
    network = Llava(**facts["network"])
    load_base(network, str(tmp_path / "second"))
    assert len(load_tokenizer(str(tmp_path / "second"))) == facts["network"]["text"]["vocab_size"]
    card = (tmp_path / "second" / "README.md").read_text()
    assert all(command in card for command in facts["commands"])
    assert all(kind in card for kind in facts["scores"])
