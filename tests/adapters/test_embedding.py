"""Adapted embeddings against the looked-up rows of the table that they stand for, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vl_dora.adapters import MovementCheck, apply_adapters, merged, parameter_groups, plain_state
from vl_dora.adapters.embedding import DoRAEmbedding, LoRAEmbedding, MagnitudeEmbedding

S = 6.0 / 3
METHODS = {
    "lora": lambda base: LoRAEmbedding(base, rank=3, alpha=6),
    "dora": lambda base: DoRAEmbedding(base, rank=3, alpha=6),
    "dora_full": lambda base: DoRAEmbedding(base, rank=3, alpha=6, norm_gradient="full"),
    "magnitude": MagnitudeEmbedding,
}


class Scaled(nn.Embedding):
    """As transformers' scaled word embeddings: what is looked up is multiplied."""

    def __init__(self, *sizes: int, embed_scale: float) -> None:
        super().__init__(*sizes)
        self.embed_scale = embed_scale

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * self.embed_scale


BASES = {
    "plain": lambda: nn.Embedding(12, 8),
    "padded": lambda: nn.Embedding(12, 8, padding_idx=2),
    "by frequency": lambda: nn.Embedding(12, 8, scale_grad_by_freq=True),
    "sparse": lambda: nn.Embedding(12, 8, sparse=True),
    "scaled": lambda: Scaled(12, 8, embed_scale=3.0),
}
IDS = torch.tensor([[1, 2, 2, 5], [11, 0, 5, 5]])


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture(params=BASES)
def kind(request):
    return request.param


def base(kind: str, dtype=torch.float32) -> nn.Embedding:
    torch.manual_seed(0)
    return BASES[kind]().to(dtype)


def shaken(layer, size=0.3):
    """Moves the layer as training would; the column of a padding word gets no gradient and stays."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in layer.named_parameters(recurse=False):
            noise = size * torch.randn(parameter.shape, generator=generator)
            if name == "lora_a" and layer.base.padding_idx is not None:
                noise[:, layer.base.padding_idx] = 0
            parameter.add_(noise.to(parameter))
    return layer


def written(layer, own: dict[str, Tensor]) -> Tensor:
    """The table (n, d) of the adapted layer, with the gradients that an embedding of its options has."""
    base, table = layer.base, layer.base.weight.detach().double()
    read = normed = table
    if "lora_a" in own:
        counts = torch.bincount(IDS.flatten(), minlength=12).clamp(min=1)
        divisor = counts if base.scale_grad_by_freq else torch.ones(12)
        words = torch.tensor([word != base.padding_idx for word in range(12)])
        read = table + S * (own["lora_b"] @ through(own["lora_a"], words / divisor)).T
        normed = table + S * (own["lora_b"] @ through(own["lora_a"], words)).T
    if "magnitude" in own:
        norm = normed.pow(2).sum(dim=0).sqrt()
        norm = norm if getattr(layer, "norm_gradient", "") == "full" else norm.detach()
        read = read * own["magnitude"] / norm
    return read * getattr(base, "embed_scale", 1.0)


def through(a: Tensor, factors: Tensor) -> Tensor:
    """A (r, n), its gradient multiplied by a factor for each word."""
    a = a.clone()
    if a.requires_grad:
        a.register_hook(lambda gradient: gradient * factors)
    return a


def test_outputs_and_gradients_are_those_of_the_table(kind, method):
    layer = shaken(METHODS[method](base(kind)))
    own = {n: p.detach().double().requires_grad_() for n, p in layer.named_parameters(recurse=False)}
    found, expected = layer(IDS), written(layer, own)[IDS]
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    (found * weights).sum().backward()
    (expected * weights.double()).sum().backward()
    for name, parameter in layer.named_parameters(recurse=False):
        exact = own[name].grad
        assert float((parameter.grad.double() - exact).norm() / exact.norm()) < 1e-5, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_starts_as_the_base_layer_bit_for_bit(kind, method, dtype):
    table = base(kind, dtype)
    expected = table(IDS)
    layer = METHODS[method](table)
    found = layer(IDS)
    assert found.dtype == dtype and torch.equal(found, expected)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert {p.dtype for p in layer.parameters(recurse=False)} == {wide}


def test_merged_computes_the_same_map_and_unmerges_bit_for_bit(kind, method):
    table = base(kind)
    weight = table.weight.detach().clone()
    layer = shaken(METHODS[method](table)).eval()
    expected = layer(IDS)
    layer.merge()
    torch.testing.assert_close(layer(IDS), expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(table.weight, weight)
    layer.unmerge()
    assert torch.equal(table.weight, weight) and torch.equal(layer(IDS), expected)


def test_the_norm_follows_optimizer_steps():
    layer = shaken(METHODS["dora"](base("plain")))
    optimizer = torch.optim.SGD(layer.parameters(recurse=False), lr=0.1)
    for _ in range(2):
        layer(IDS).pow(2).sum().backward()
        optimizer.step()
        own = {n: p.detach().double() for n, p in layer.named_parameters(recurse=False)}
        torch.testing.assert_close(layer(IDS).double(), written(layer, own)[IDS], atol=1e-5, rtol=1e-4)


def test_shapes_of_the_parameters():
    layer = METHODS["dora"](base("plain"))
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters(recurse=False)}
    assert shapes == {"magnitude": (8,), "lora_a": (3, 12), "lora_b": (8, 3)}
    assert layer.lora_a.count_nonzero() == 0 and layer.lora_b.std() > 0.5


def test_a_table_that_rescales_itself_is_refused(method):
    with pytest.raises(ValueError, match=r"max_norm=1\.0 writes to its table whenever it is read"):
        METHODS[method](nn.Embedding(12, 8, max_norm=1.0))


def test_an_embedding_with_a_forward_of_its_own_is_refused():
    class Own(nn.Embedding):
        def forward(self, ids):
            return super().forward(ids) + 1

    with pytest.raises(ValueError, match="base is a Own; only nn.Embedding"):
        MagnitudeEmbedding(Own(12, 8))


@pytest.mark.parametrize(("option", "value"), [("dropout", 0.1), ("init", "gaussian")])
def test_an_option_that_an_embedding_does_not_have_is_refused(option, value):
    network = nn.ModuleDict({"words": nn.Embedding(12, 8)})
    rule = {"method": "lora", "layers": ["words"], "rank": 2, option: value}
    with pytest.raises(ValueError, match=rf"adapter\.network\.{option}=.* means nothing .* on a Embedding"):
        apply_adapters(network, {"network": rule})
    assert type(network["words"]) is nn.Embedding


def test_options_that_ask_for_nothing_may_stay():
    network = nn.ModuleDict(
        {"words": nn.Embedding(12, 8), "conv": nn.Conv1d(8, 4, 3), "head": nn.Linear(8, 4)}
    )
    neutral = {"dropout": 0.0, "dropout_mode": "branch", "merged_forward": "auto", "init": "kaiming"}
    rule = {"method": "dora", "layers": ["words", "conv", "head"], "rank": 2, **neutral}
    audit = apply_adapters(network, {"network": rule})
    assert audit.rows[0].modules == 3


def test_a_network_of_all_kinds_goes_all_the_way():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.conv, self.head = nn.Embedding(12, 8), nn.Conv1d(8, 4, 3), nn.Linear(4, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.tanh(self.conv(self.words(ids).transpose(1, 2))).transpose(1, 2))

    torch.manual_seed(0)
    network, plain = Net().eval(), Net()
    also = {
        "m": {"method": "magnitude", "layers": ["head"]},
        "l": {"method": "lora", "layers": ["conv"], "rank": 2},
    }
    rule = {"method": "dora", "layers": ["words"], "rank": 2, "also": also}
    audit = apply_adapters(network, {"network": rule})
    check = MovementCheck(network)
    optimizer = torch.optim.AdamW(parameter_groups(network, audit, lr=1e-2, weight_decay=0.1))
    for _ in range(2):
        optimizer.zero_grad()
        network(IDS).pow(2).mean().backward()
        optimizer.step()
    check.check()
    expected = network(IDS)
    with merged(network):
        torch.testing.assert_close(network(IDS), expected, atol=1e-5, rtol=1e-4)
    plain.load_state_dict(plain_state(network))
    torch.testing.assert_close(plain(IDS), expected, atol=1e-5, rtol=1e-4)


def test_a_tied_table_is_refused(network):
    with pytest.raises(ValueError, match=r"text\.embed shares its weight with head\.weight"):
        apply_adapters(network, {"language": {"method": "dora", "layers": ["embed"], "rank": 2}})
