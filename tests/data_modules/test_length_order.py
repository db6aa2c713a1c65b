"""The grouped order: whole, of one kind and of like lengths a step, and the same everywhere."""

import numpy as np
import pytest

from data_modules.length_order import GroupedSampler, words_of
from vl_dora.batch import Example

LENGTHS = np.random.default_rng(0).integers(1, 200, 203).tolist()
KINDS = (np.random.default_rng(1).random(203) < 0.7).tolist()


def sampler(rank=0, replicas=1, seed=0, group=16):
    return GroupedSampler(LENGTHS, KINDS, group_size=group, seed=seed, num_replicas=replicas, rank=rank)


def test_an_epoch_holds_every_sample_once_and_differs_from_the_next():
    orders = [sampler().order(epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(203)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders == [sampler().order(epoch) for epoch in range(3)]
    assert orders[0] != sampler(seed=1).order(0)


def test_a_step_is_of_one_kind_except_at_the_end():
    order = sampler().order(0)
    whole = sum(KINDS.count(kind) // 16 for kind in (True, False))
    steps = [order[i : i + 16] for i in range(0, whole * 16, 16)]
    kinds = [{KINDS[i] for i in step} for step in steps]
    assert all(len(found) == 1 for found in kinds)
    assert {True} in kinds and {False} in kinds
    # The two kinds are not one after the other.
    assert sum(a != b for a, b in zip(kinds, kinds[1:], strict=False)) > 2


@pytest.mark.parametrize("replicas", [1, 2])
def test_micro_batches_have_like_lengths_in_every_process(replicas):
    size = 4
    parts = [list(sampler(rank, replicas, group=16)) for rank in range(replicas)]
    assert {len(part) for part in parts} == {-(-203 // replicas)}
    spread, drawn = [], []
    for part in parts:
        lengths = [LENGTHS[i] for _, i in part[: 4 * 40 // replicas]]
        groups = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        spread += [max(group) - min(group) for group in groups]
        shuffled = np.random.default_rng(5).permutation(lengths)
        drawn += [max(g) - min(g) for g in shuffled.reshape(-1, size)]
    assert np.mean(spread) < 0.7 * np.mean(drawn)


def test_it_goes_on_inside_an_epoch():
    whole, rest = sampler(), sampler()
    whole.set_epoch(2)
    rest.set_epoch(2)
    rest.skipped = 48
    assert list(rest) == list(whole)[48:]


def test_a_conversation_is_as_long_as_its_words():
    assert words_of(Example("a", "c d?", "e", turns=(("a b?", "yes it is"),))) == 8
