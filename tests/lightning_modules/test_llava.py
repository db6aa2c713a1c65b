"""LlavaModule holds what is frozen in half precision, and nothing else."""

from types import SimpleNamespace

import pytest
import torch

from vl_dora.lightning_modules.llava import LlavaModule
from vl_dora.lightning_modules.optimizer import OptimizerSettings

SELECTION = {
    "projector": "full",
    "language": {"method": "dora", "layers": ["q_proj", "down_proj"], "rank": 2},
}


def module(network, **changes):
    settings = {
        "network": network,
        "task": SimpleNamespace(),
        "tokenizer": None,
        "selection": SELECTION,
        "optimizer": OptimizerSettings(lr=1e-3),
        "generation": {"num_beams": 1, "max_new_tokens": 2},
    }
    return LlavaModule(**{**settings, **changes})


def test_frozen_weights_are_halved_and_trained_ones_are_not(tiny_llava):
    network = module(tiny_llava(), frozen_dtype="bfloat16").network
    dtypes = {p.requires_grad: set() for p in network.parameters()}
    for parameter in network.parameters():
        dtypes[parameter.requires_grad].add(parameter.dtype)
    assert dtypes == {True: {torch.float32}, False: {torch.bfloat16}}


def test_a_mixed_network_computes_the_loss_and_every_gradient_in_float32(tiny_llava, conversation_batch):
    batch = conversation_batch([(1, [5, 6, 7], [8, 9, 2]), (0, [10, 11], [12, 2])])
    expected = module(tiny_llava()).network.loss(batch)
    network = module(tiny_llava(), frozen_dtype="bfloat16").network
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(batch)
    loss.backward()
    assert abs(loss.item() - expected.item()) < 0.05 * expected.item()
    for parameter in network.parameters():
        if parameter.requires_grad:
            assert parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()


def test_a_mixed_network_answers_without_autocast_too(tiny_llava, conversation_batch):
    batch = conversation_batch([(1, [5, 6, 7], [8, 9, 2]), (0, [10, 11], [12, 2])])
    network = module(tiny_llava(), frozen_dtype="bfloat16").network.eval()
    expected = module(tiny_llava()).network.eval()
    found = network.logits(batch).float()
    real = batch.attention_mask
    assert (found - expected.logits(batch))[real].norm() < 0.05 * expected.logits(batch)[real].norm()
    assert network.generate(batch, num_beams=1, max_new_tokens=3).shape[0] == 2


def test_an_unknown_dtype_is_refused(tiny_llava):
    with pytest.raises(
        ValueError, match=r"model\.module\.frozen_dtype='int8' must be one of bfloat16, float16"
    ):
        module(tiny_llava(), frozen_dtype="int8")


@pytest.mark.slow
def test_a_four_bit_base_trains_beside_half_precision(tiny_llava, conversation_batch):
    pytest.importorskip("bitsandbytes")
    rule = {"method": "dora", "layers": ["q_proj", "down_proj"], "rank": 2, "quantization": "nf4"}
    built = module(tiny_llava(), frozen_dtype="bfloat16", selection={"projector": "full", "language": rule})
    batch = conversation_batch([(1, [5, 6, 7], [8, 9, 2]), (0, [10, 11], [12, 2])])
    with torch.autocast("cpu", torch.bfloat16):
        loss = built.network.loss(batch)
    loss.backward()
    trained = [p for p in built.network.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 and p.grad.isfinite().all() for p in trained)
    assert {p.dtype for p in built.network.parameters()} == {torch.float32, torch.bfloat16, torch.uint8}
