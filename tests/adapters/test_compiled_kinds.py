"""Adapted convolutions and embeddings under torch.compile: the same numbers, also after the next step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vl_dora.adapters.conv import DoRAConv, LoRAConv, MagnitudeConv
from vl_dora.adapters.embedding import DoRAEmbedding, LoRAEmbedding, MagnitudeEmbedding

pytestmark = [
    pytest.mark.slow,
    # torch's compiler on tensors that it itself hands over where the full gradient of a norm runs eagerly.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf.*:UserWarning"),
]

LOW = {"rank": 2, "alpha": 4}
FULL = {**LOW, "norm_gradient": "full"}
KINDS = {
    "convolution, lora": lambda: LoRAConv(nn.Conv1d(4, 6, 3), **LOW),
    "convolution, dora": lambda: DoRAConv(nn.Conv1d(4, 6, 3, groups=2), **LOW),
    "convolution, dora, full": lambda: DoRAConv(nn.Conv1d(4, 6, 3, groups=2), **FULL),
    "convolution, magnitude": lambda: MagnitudeConv(nn.Conv1d(4, 6, 3)),
    "embedding, lora": lambda: LoRAEmbedding(nn.Embedding(9, 6), **LOW),
    "embedding, dora": lambda: DoRAEmbedding(nn.Embedding(9, 6), **LOW),
    "embedding, dora, full": lambda: DoRAEmbedding(nn.Embedding(9, 6, padding_idx=1), **FULL),
    "embedding, magnitude": lambda: MagnitudeEmbedding(nn.Embedding(9, 6)),
}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_of_eager_code(kind):
    torch.manual_seed(0)
    layer = KINDS[kind]()
    x = torch.randn(2, 4, 7) if kind.startswith("conv") else torch.tensor([[0, 1, 8], [3, 3, 1]])
    compiled = torch.compile(layer, backend="aot_eager")
    for _ in range(2):  # the second time with other numbers in the factors
        with torch.no_grad():
            for parameter in layer.parameters(recurse=False):
                parameter.add_(0.2 * torch.randn_like(parameter))
        outputs, gradients = [], []
        for function in (layer, compiled):
            layer.zero_grad()
            outputs.append(function(x))
            outputs[-1].pow(2).sum().backward()
            gradients.append([parameter.grad.clone() for parameter in layer.parameters(recurse=False)])
        torch.testing.assert_close(outputs[1], outputs[0])
        torch.testing.assert_close(gradients[1], gradients[0])
