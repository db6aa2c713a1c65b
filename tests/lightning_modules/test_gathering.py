"""Predictions of two processes become one list in the order of the data set."""

from __future__ import annotations

import subprocess
import sys

from vl_dora.batch import Example, Prediction
from vl_dora.lightning_modules.gathering import gathered

# Five samples dealt to two processes; the sampler repeats sample 0 so that both have three.
WORKER = """
import sys
import torch.distributed as distributed
from vl_dora.batch import Example, Prediction
from vl_dora.lightning_modules.gathering import gathered

rank, meeting = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", "file://" + meeting, rank=rank, world_size=2)
own = [Prediction(Example(str(n), "", ""), f"said by {rank}") for n in ((0, 2, 4), (1, 3, 0))[rank]]
print([(p.id, p.text) for p in gathered(own)])
distributed.destroy_process_group()
"""


def prediction(number: int, text: str = "") -> Prediction:
    return Prediction(Example(str(number), "", ""), text or str(number))


def test_one_process_keeps_order_and_the_first_of_an_id():
    found = gathered([prediction(2), prediction(1), prediction(2, "again")])
    assert [(p.id, p.text) for p in found] == [("2", "2"), ("1", "1")]


def test_two_processes_give_every_sample_once_in_file_order(tmp_path):
    command = [sys.executable, "-c", WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meeting")], stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    said = [worker.communicate(timeout=120)[0].strip() for worker in workers]
    expected = [(str(n), f"said by {n % 2}") for n in range(5)]
    assert said == [repr(expected)] * 2
