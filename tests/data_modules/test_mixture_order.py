"""The order of batches of several tasks: what an epoch holds, shuffling, resuming, processes."""

from __future__ import annotations

from collections import Counter

import pytest

from data_modules.mixture_order import MixtureSampler

SIZES = {"vqa": 25, "gqa": 60, "nlvr2": 7}
BATCHES = {"vqa": 4, "gqa": 10, "nlvr2": 2}


def sampler(order="proportional", **fields) -> MixtureSampler:
    return MixtureSampler(SIZES, BATCHES, order=order, **{"seed": 3, **fields})


def indices(batches, name) -> list[int]:
    return [index for task, _, chosen in batches for index in chosen if task == name]


def test_an_epoch_is_one_full_pass_of_every_task_in_batches_of_its_own_size():
    batches = list(sampler())
    # 25 in fours, 60 in tens, 7 in twos.
    assert Counter(task for task, _, _ in batches) == {"vqa": 7, "gqa": 6, "nlvr2": 4}
    assert len(batches) == len(sampler()) == 17
    for name, size in SIZES.items():
        assert sorted(indices(batches, name)) == list(range(size))
        sizes = [len(chosen) for task, _, chosen in batches if task == name]
        assert max(sizes) == BATCHES[name] and sum(s < BATCHES[name] for s in sizes) <= 1


def test_tasks_are_shuffled_together_and_so_are_the_samples_of_each():
    batches = list(sampler())
    tasks = [task for task, _, _ in batches]
    assert tasks != sorted(tasks) and len(set(tasks[:8])) > 1
    assert indices(batches, "gqa") != sorted(indices(batches, "gqa"))


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    first, second = sampler(), sampler()
    for _ in second:  # having been gone through changes nothing
        pass
    assert list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)
    assert [task for task, *_ in first] != [task for task, *_ in second]
    second.set_epoch(0)
    assert list(first) == list(second)
    assert list(sampler(seed=4)) != list(first)


def test_balanced_gives_every_task_the_mean_number_of_batches():
    balanced = sampler("balanced")
    batches = list(balanced)
    # (7 + 6 + 4) / 3 = 5.67
    assert Counter(task for task, _, _ in batches) == {"vqa": 6, "gqa": 6, "nlvr2": 6}
    assert len(balanced) == 18
    # A short task begins anew, in another order, only when all of it was seen.
    seen = indices(batches, "nlvr2")
    assert sorted(seen[:7]) == list(range(7)) and len(seen) > 7
    assert seen[7:] != seen[: len(seen) - 7]
    # A long one is cut, elsewhere in every epoch.
    assert len(indices(batches, "vqa")) < 25
    balanced.set_epoch(1)
    assert set(indices(list(balanced), "vqa")) != set(indices(batches, "vqa"))


def test_the_order_of_files_is_task_after_task():
    batches = list(sampler("file"))
    assert [task for task, _, _ in batches] == ["vqa"] * 7 + ["gqa"] * 6 + ["nlvr2"] * 4
    assert indices(batches, "gqa") == list(range(60))


@pytest.mark.parametrize("order", ["proportional", "balanced", "file"])
def test_a_pass_goes_on_behind_the_batches_handed_out(order):
    whole, rest = list(sampler(order)), sampler(order)
    rest.skipped = 5
    assert list(rest) == whole[5:]


@pytest.mark.parametrize("order", ["proportional", "balanced"])
def test_processes_do_the_same_task_in_every_step_and_share_its_samples(order):
    parts = [list(sampler(order, num_replicas=2, rank=rank)) for rank in (0, 1)]
    assert [task for task, *_ in parts[0]] == [task for task, *_ in parts[1]]
    assert len(parts[0]) == len(sampler(order, num_replicas=2))
    if order == "proportional":
        for name, size in SIZES.items():
            mine = [indices(part, name) for part in parts]
            assert set(mine[0]) | set(mine[1]) == set(range(size))
            # Only to make both equally long is a sample repeated.
            assert len(mine[0]) == len(mine[1]) == -(-size // 2)


def test_an_unknown_order_lists_those_allowed():
    with pytest.raises(ValueError, match="data.order='random' must be proportional or balanced"):
        sampler("random")
