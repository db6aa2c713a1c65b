"""The states of all generators come back, to every process its own."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import torch

from vl_dora.lightning_modules.random_state import random_states, set_random_state

WORKER = """
import random, sys
import torch, torch.distributed as distributed
from vl_dora.lightning_modules.random_state import random_states, set_random_state

rank, meeting = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", "file://" + meeting, rank=rank, world_size=2)
torch.manual_seed(rank)
states = random_states()
drawn = torch.rand(3).tolist()
torch.manual_seed(7)
set_random_state(states)
print(len(states), torch.rand(3).tolist() == drawn, drawn[0])
distributed.destroy_process_group()
"""


def draws() -> tuple:
    return torch.rand(2).tolist(), random.random(), np.random.random(2).tolist(), random.gauss(0, 1)


def test_what_is_drawn_after_a_state_is_drawn_again(tmp_path):
    random.gauss(0, 1)  # keeps the second half of a pair for the next call
    states = random_states()
    expected = draws()
    torch.save(states, tmp_path / "states")
    set_random_state(torch.load(tmp_path / "states", weights_only=True))
    assert draws() == expected


def test_another_number_of_processes_is_told(caplog):
    set_random_state(random_states() * 2)
    assert "the checkpoint is of 2 processes, this run has 1" in caplog.text


def test_two_processes_each_get_their_own(tmp_path):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [worker.communicate(timeout=240)[0].split() for worker in workers]
    assert [words[:2] for words in said] == [["2", "True"]] * 2
    assert said[0][2] != said[1][2]
