"""Change of magnitude and direction of weights whose change is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vl_dora.adapters import DoRALinear
from vl_dora.adapters.decomposition import change_of, tuned_weight


def base(rows: int = 6, columns: int = 5) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_longer_rows_change_in_magnitude_alone() -> None:
    weight = base()
    factors = torch.tensor([1.5, 0.5, 1.0, 2.0, 1.1, 0.9], dtype=torch.float64)
    found = change_of(weight, weight * factors[:, None])
    expected = ((factors - 1).abs() * weight.norm(dim=1)).mean()
    assert found.magnitude == pytest.approx(float(expected), rel=1e-12)
    assert found.direction == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("angle", [1e-6, 0.1, math.pi / 2, math.pi])
def test_turned_rows_change_in_direction_alone(angle) -> None:
    weight = base(4, 2)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
    found = change_of(weight, weight @ turn)
    # 1 - cos(angle), written so that it keeps its digits where the angle is small
    assert found.direction == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-8)
    assert found.magnitude == pytest.approx(0.0, abs=1e-14)


def test_it_is_the_formula_of_the_paper_on_any_weights() -> None:
    first, second = base().float(), (base() + 0.3 * base().flip(0)).float()
    magnitude, direction = 0.0, 0.0
    for a, b in zip(first.double().tolist(), second.double().tolist(), strict=True):
        norms = [math.hypot(*row) for row in (a, b)]
        magnitude += abs(norms[1] - norms[0]) / len(first)
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / norms[0] / norms[1]
        direction += (1 - cosine) / len(first)
    found = change_of(first, second)
    assert found.magnitude == pytest.approx(magnitude, rel=1e-12)
    assert found.direction == pytest.approx(direction, rel=1e-9)


def test_rows_of_zeros_have_no_direction() -> None:
    weight = base()
    weight[2] = 0
    tuned = weight.clone()
    tuned[2] = 3.0
    found = change_of(weight, tuned)
    assert found.rows == 5
    assert found.direction == 0
    assert found.magnitude == pytest.approx(3 * math.sqrt(5) / 6)


def test_convolutions_are_read_row_by_row() -> None:
    weight = torch.randn(4, 3, 2, 2)
    assert change_of(weight, 2 * weight).magnitude == pytest.approx(
        float(weight.flatten(1).double().norm(dim=1).mean())
    )


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot have become"):
        change_of(torch.ones(2, 3), torch.ones(3, 2))
    with pytest.raises(ValueError, match="no direction"):
        change_of(torch.zeros(2, 3), torch.ones(2, 3))


def test_a_dora_layer_with_other_magnitudes_changes_in_magnitude_alone() -> None:
    torch.manual_seed(0)
    layer = DoRALinear(nn.Linear(5, 6), rank=2, alpha=2)
    with torch.no_grad():
        layer.magnitude.mul_(1.25)
    found = change_of(layer.weight, tuned_weight(layer))
    norms = layer.weight.detach().norm(dim=1)
    assert found.magnitude == pytest.approx(0.25 * float(norms.mean()), rel=1e-5)
    assert found.direction == pytest.approx(0, abs=1e-12)
