"""The digest of what was seen: one chain a process, put together in the order of their ranks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from types import SimpleNamespace

import torch

from vl_dora.batch import Batch, Example
from vl_dora.lightning_modules.data_order import DataOrder, Seen, together

WORKER = """
import runpy, sys
import torch.distributed as distributed

source, rank, meeting = sys.argv[1:]
distributed.init_process_group("gloo", "file://" + meeting, rank=int(rank), world_size=2)
runpy.run_path(source)["work"](int(rank))
distributed.destroy_process_group()
"""


def batch(*ids: str) -> Batch:
    numbers = torch.zeros(len(ids), 1, dtype=torch.long)
    return Batch(tuple(Example(name, "", "") for name in ids), numbers, numbers.bool())


def fed(order: DataOrder, *batches: Batch) -> DataOrder:
    for one in batches:
        order.on_train_batch_end(SimpleNamespace(), None, None, one)
    return order


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def work(rank: int) -> None:
    """One of two processes: saved after two batches, on from there in another object, a third batch."""
    names = ("abc", "xyz")[rank]
    state = fed(DataOrder(), batch(names[0]), batch(names[1])).state_dict()
    again = DataOrder()
    again.load_state_dict(state)
    found = fed(again, batch(names[2])).of_all()
    # As a run of one process would have left it.
    other = DataOrder()
    other.load_state_dict({"seen": state["seen"][:1]})
    print(found.digest, found.samples, again.own.samples, other.own.samples)


def test_one_process_chains_the_ids_of_its_batches():
    order = fed(DataOrder(), batch("a", "b"), batch("c"))
    assert order.of_all() == Seen(sha(f"{sha(chr(10) + 'a' + chr(10) + 'b')}\nc"), 3)
    assert DataOrder().of_all() == Seen("", 0)


def test_together_counts_all_and_tells_the_order_of_ranks():
    first, second = Seen(sha("1"), 3), Seen(sha("2"), 4)
    assert together([first]) == first
    assert together([first, second]) == Seen(sha(f"{sha('1')}\n{sha('2')}"), 7)
    assert together([second, first]).digest != together([first, second]).digest
    assert together([Seen(), Seen()]) == Seen()


def test_a_run_of_fewer_processes_goes_on_from_what_all_have_seen():
    first, second = Seen(sha("1"), 3), Seen(sha("2"), 4)
    order = DataOrder()
    order.load_state_dict({"seen": [{"digest": p.digest, "samples": p.samples} for p in (first, second)]})
    assert order.of_all() == together([first, second])


def test_two_processes_go_on_each_from_its_own(tmp_path):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, __file__, str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [worker.communicate()[0].split() for worker in workers]
    chains = [fed(DataOrder(), *(batch(name) for name in names)).own for names in ("abc", "xyz")]
    expected = together(chains)
    assert [words[:2] for words in said] == [[expected.digest, "6"]] * 2
    # One state for two: the first goes on from it, the second from nothing.
    assert [words[2:] for words in said] == [["3", "2"], ["3", "0"]]
