"""Predictions of two processes become one list in the order of the data set."""

from __future__ import annotations

import torch.distributed as distributed
import torch.multiprocessing as multiprocessing

from vl_dora.batch import Example, Prediction
from vl_dora.lightning_modules.gathering import gathered


def prediction(number: int, text: str = "") -> Prediction:
    return Prediction(Example(str(number), "", ""), text or str(number))


def test_one_process_keeps_order_and_the_first_of_an_id():
    found = gathered([prediction(2), prediction(1), prediction(2, "again")])
    assert [(p.id, p.text) for p in found] == [("2", "2"), ("1", "1")]


def _worker(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    # Five samples dealt to two processes; the sampler repeats sample 0 to make both equal.
    own = [prediction(n) for n in (0, 2, 4)] if rank == 0 else [prediction(n) for n in (1, 3, 0)]
    assert [p.id for p in gathered(own)] == ["0", "1", "2", "3", "4"]
    distributed.destroy_process_group()


def test_two_processes_give_every_sample_once_in_file_order(tmp_path):
    multiprocessing.spawn(_worker, (str(tmp_path),), nprocs=2)
