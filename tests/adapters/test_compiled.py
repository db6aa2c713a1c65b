"""Adapted layers under torch.compile: one graph, the gradients of eager code, and never a stale norm."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vl_dora.adapters import DoRALinear, LoRALinear, MagnitudeLinear

WIDTH = 12
METHODS = {
    "lora": lambda base: LoRALinear(base, rank=3, alpha=6),
    "dora detached": lambda base: DoRALinear(base, rank=3, alpha=6),
    "dora full": lambda base: DoRALinear(base, rank=3, alpha=6, norm_gradient="full"),
    "magnitude": lambda base: MagnitudeLinear(base),
}
INDUCTOR = pytest.param(
    "dora full",
    "inductor",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler, g++"),
    ],
)
# torch's words about itself while it compiles; nothing here can change them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*TF32.*:UserWarning"),
]


@pytest.fixture(autouse=True)
def from_scratch():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Block(nn.Module):
    """Two adapted layers of one kind, so that compiled code of one must not answer for the other."""

    def __init__(self, method: str, checkpointed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = METHODS[method](nn.Linear(WIDTH, WIDTH))
        self.second = METHODS[method](nn.Linear(WIDTH, WIDTH, bias=False))
        self.checkpointed = checkpointed
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.3 * torch.randn_like(parameter))

    def body(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)) + x)

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.body, x, use_reentrant=False) if self.checkpointed else self.body(x)


def results(run, block: Block, seed: int = 1) -> dict[str, Tensor]:
    x = torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    block.zero_grad()
    y = run(x)
    y.square().sum().backward()
    grads = {name: p.grad.clone() for name, p in block.named_parameters() if p.requires_grad}
    return {"y": y.detach(), "x": x.grad, **grads}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize(("method", "backend"), [*[(method, "aot_eager") for method in METHODS], INDUCTOR])
def test_one_graph_with_the_gradients_of_eager_code(method, backend):
    block = Block(method)
    compiled = torch.compile(block, backend=backend, fullgraph=True)
    for seed in (1, 2):
        assert_same(results(compiled, block, seed), results(block, block, seed))


@pytest.mark.parametrize(
    ("method", "backend"), [("dora detached", "aot_eager"), ("dora full", "aot_eager"), INDUCTOR]
)
def test_compiled_code_sees_every_step_and_every_write(method, backend):
    block = Block(method)
    compiled = torch.compile(block, backend=backend, fullgraph=True)
    optimizer = torch.optim.AdamW([p for p in block.parameters() if p.requires_grad], lr=0.05)
    for step in range(3):
        assert_same(results(compiled, block), results(block, block))
        optimizer.step()
        if step == 1:
            block.second.lora_b.data.mul_(-1.7)
    block.first.base.load_state_dict({k: 2 * v for k, v in block.first.base.state_dict().items()})
    assert_same(results(compiled, block), results(block, block))


def test_layers_compiled_one_by_one_share_code_and_keep_their_own_norms():
    blocks = [Block("dora detached"), Block("dora detached")]
    blocks[1].first.lora_b.data.mul_(3)
    compiled = [torch.compile(b, backend="aot_eager", fullgraph=True) for b in blocks]
    for block, run in zip(blocks, compiled, strict=True):
        assert_same(results(run, block), results(block, block))


@pytest.mark.parametrize("method", METHODS)
def test_checkpoints_inside_compiled_code(method):
    block = Block(method, checkpointed=True)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    assert_same(results(compiled, block), results(block.body, block))


def test_dropout_is_drawn_anew_in_compiled_code_and_its_gradient_fits_the_draw():
    torch.manual_seed(0)
    layer = DoRALinear(nn.Linear(WIDTH, WIDTH), rank=3, alpha=6, dropout=0.5).train()
    nn.init.normal_(layer.lora_b)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(64, WIDTH, requires_grad=True)
    assert not torch.equal(compiled(x), compiled(x))
    # y - b is linear in x for a fixed mask: x . dx summed must be the sum of y - b.
    y = compiled(x)
    (y - layer.base.bias).sum().backward()
    torch.testing.assert_close((x.grad * x).sum(), (y - layer.base.bias).sum(), atol=1e-3, rtol=1e-4)


def test_a_layer_that_must_hold_its_merged_weight_runs_eagerly():
    layer = DoRALinear(nn.Linear(WIDTH, WIDTH), rank=3, alpha=6, merged_forward="always").train()
    nn.init.normal_(layer.lora_b)
    x = torch.randn(2, WIDTH)
    expected = layer(x)
    layer.refresh()
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager")(x), expected)
    assert layer._folded._value is not None
