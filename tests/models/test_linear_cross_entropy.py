"""Cross-entropy in chunks against the plain sum."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vl_dora.models.linear_cross_entropy import weighted_cross_entropy


@pytest.fixture
def case():
    torch.manual_seed(0)
    head = nn.Linear(6, 50, bias=False, dtype=torch.float64)
    states = torch.randn(23, 6, dtype=torch.float64, requires_grad=True)
    return states, head, torch.randint(50, (23,)), torch.rand(23, dtype=torch.float64)


def plain(states, head, labels, weights):
    scores = states @ head.weight.T
    return (weights * (scores.logsumexp(1) - scores.gather(1, labels[:, None])[:, 0])).sum()


@pytest.mark.parametrize("chunk", [None, 1, 5, 23, 100])
def test_any_chunk_gives_the_plain_sum_and_its_gradients(case, chunk):
    states, head, labels, weights = case
    expected = plain(states, head, labels, weights)
    found = weighted_cross_entropy(states, head, labels, weights, chunk)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = torch.autograd.grad(expected, (states, head.weight))
    got = torch.autograd.grad(found, (states, head.weight))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_logits_of_one_chunk_at_a_time_are_held(case, monkeypatch):
    states, head, labels, weights = case
    kept = []

    def pack(tensor):
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        weighted_cross_entropy(states, head, labels, weights, 5)
    assert not [shape for shape in kept if 50 in shape and shape != (50, 6)]
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        weighted_cross_entropy(states, head, labels, weights, None)
    assert (23, 50) in kept


def test_half_precision_logits_are_summed_in_float32():
    torch.manual_seed(0)
    head, states = nn.Linear(4, 9, dtype=torch.bfloat16), torch.randn(3, 4, dtype=torch.bfloat16)
    found = weighted_cross_entropy(states, head, torch.tensor([1, 2, 3]), torch.ones(3), None)
    assert found.dtype == torch.float32
    expected = F.cross_entropy(head(states).float(), torch.tensor([1, 2, 3]), reduction="sum")
    torch.testing.assert_close(found, expected)


def test_nothing_supervised_is_a_loss_of_zero(case):
    states, head, labels, weights = case
    assert weighted_cross_entropy(states[:0], head, labels[:0], weights[:0], 5) == 0
