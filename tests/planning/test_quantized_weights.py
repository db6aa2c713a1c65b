"""Bytes of weights in 4 and 8 bits, by hand."""

from __future__ import annotations

import pytest
import torch

from vl_dora.adapters import apply_adapters
from vl_dora.planning.quantized_weights import held, with_quantized_weights
from vl_dora.planning.step_cost import StepCost


def test_a_weight_takes_half_a_byte_a_number_and_its_scales():
    weight = torch.empty(4096, 4096, device="meta")
    blocks = 4096 * 4096 // 64
    assert held(weight, "nf4") == 4096 * 4096 // 2 + blocks + 4 * blocks // 256
    assert held(weight, "int8") == 4096 * 4096 + 4 * 4096


@pytest.mark.parametrize("word", ["nf4", "int8", None])
def test_the_adapted_weights_are_held_so_and_one_stands_beside_them(tiny_llava, word):
    network = tiny_llava().to("meta")
    rule = {"method": "dora", "layers": ["q_proj", "up_proj"], "rank": 2, "alpha": 2, "quantization": word}
    audit = apply_adapters(network, {"language": rule})
    cost = StepCost(10**6, 0, 0, 0, 0, 2 * 10**6, "backward", 0, 0, {"weights": 10**6, "activations": 10**6})
    found = with_quantized_weights(cost, network, audit)
    if word is None:
        assert found == cost
        return
    shapes = [(24, 24), (32, 24)] * 2  # two layers
    saved = sum(4 * o * i - held(torch.empty(o, i), word) for o, i in shapes)
    assert found.weights == 10**6 - saved
    assert found.peak == 2 * 10**6 - saved + 4 * 32 * 24 == sum(found.at_peak.values())
