"""The ledger against sums written out by hand, and against what torch's own allocator reports."""

from __future__ import annotations

import torch
from torch import nn

from vl_dora.planning.ledger import Ledger, Moment

FLOAT = 4


def test_views_count_once_and_nothing_counts_after_its_end():
    ledger = Ledger()
    with ledger:
        a = torch.zeros(10, 3)
        b = a.view(30)[5:]
        c = a + 1
        assert ledger.total == 2 * 30 * FLOAT
        del a
        assert ledger.total == 2 * 30 * FLOAT  # a view of it is alive
        del b, c
    assert ledger.total == 0
    assert ledger.peak == 2 * 30 * FLOAT


def test_kinds_sum_to_the_peak_of_a_place_and_moved_tensors_change_their_kind():
    ledger = Ledger()
    weight = torch.zeros(7)
    ledger.enter([weight], "weights")
    ledger.kind = ledger.place = "first"
    with ledger:
        made = weight * 2
        ledger.kind = ledger.place = "second"
        more = made * 2
    ledger.enter([made], "kept")
    assert dict(ledger.alive) == {"weights": 28, "first": 0, "second": 28, "kept": 28}
    assert ledger.highest["first"] == Moment(56, {"weights": 28, "first": 28})
    assert ledger.highest["second"] == Moment(84, {"weights": 28, "first": 28, "second": 28})
    assert ledger.peak == 84
    del more
    ledger.begin("third")
    assert ledger.highest == {"third": Moment(56, {"weights": 28, "kept": 28})}


def test_sizes_are_rounded_up_to_the_allocators_steps():
    ledger = Ledger(512)
    with ledger:
        held = torch.zeros(1), torch.zeros(129)
    assert ledger.total == 512 + 1024
    del held


def test_the_backward_pass_is_seen():
    """Of y = relu(x W): x W is freed by then, the result is kept for the backward, and W has a gradient."""
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 4, bias=False), torch.randn(16, 8)
    ledger = Ledger()
    ledger.enter([layer.weight, x], "before")
    before = ledger.total
    with ledger:
        loss = torch.relu(layer(x)).sum()
        kept = ledger.total - before
        loss.backward()
    assert kept == 16 * 4 * FLOAT + FLOAT
    assert ledger.total - before == FLOAT + 8 * 4 * FLOAT
    # What relu gave and the gradient of what it was given, the loss and its gradient; W's comes when the
    # first of them is gone.
    assert ledger.peak - before == 2 * 16 * 4 * FLOAT + 2 * FLOAT


def test_adamw_holds_roots_of_all_second_moments_with_foreach_and_two_of_one_without():
    for foreach, expected in ((True, (40 + 24) * FLOAT), (False, 2 * 40 * FLOAT)):
        parameters = [nn.Parameter(torch.ones(40)), nn.Parameter(torch.ones(24))]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer = torch.optim.AdamW(parameters, foreach=foreach)
        optimizer.step()
        ledger = Ledger()
        state = [value for values in optimizer.state.values() for value in values.values()]
        ledger.enter([*parameters, *(p.grad for p in parameters), *state], "before")
        before = ledger.total
        with ledger:
            optimizer.step()
        slack = 16 * FLOAT  # single numbers
        assert expected <= ledger.peak - before <= expected + slack
