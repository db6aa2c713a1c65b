"""Layers on bases of 4 and 8 bits, against the equation with the weight that the bits stand for."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vl_dora.adapters import (
    MovementCheck,
    adapted_layers,
    apply_adapters,
    load_adapter,
    load_trainable_state,
    merge,
    parameter_groups,
    plain_state,
    save_adapter,
    trainable_state,
    unmerge,
)
from vl_dora.adapters.layers import layer_for
from vl_dora.adapters.quantization import quantized

# bitsandbytes takes half a minute to import, so it is not asked for before a test runs.
pytestmark = pytest.mark.slow

S = 8.0 / 4
METHODS = {
    "lora": ("lora", {"rank": 4, "alpha": 8}),
    "dora": ("dora", {"rank": 4, "alpha": 8}),
    "dora_full": ("dora", {"rank": 4, "alpha": 8, "norm_gradient": "full"}),
    "magnitude": ("magnitude", {}),
}


@pytest.fixture(scope="module", autouse=True)
def bnb():
    return pytest.importorskip("bitsandbytes")


@pytest.fixture(params=["nf4", "int8"])
def bits(request):
    return request.param


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def adapted(method: str, bits: str, dtype=torch.float32, bias=True, **options) -> nn.Module:
    torch.manual_seed(0)
    base = quantized(nn.Linear(32, 24, bias=bias).to(dtype), bits)
    word, own = METHODS[method]
    return layer_for(word, base)(base, **own, **options)


def shaken(module: nn.Module, size=0.2) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in [m for m in module.modules() if hasattr(m, "base")]:
            for parameter in layer.parameters(recurse=False):
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return module


def true_weight(bnb, base: nn.Module) -> Tensor:
    """What the bits stand for, by the library's own word or by the definition of row-wise 8 bits."""
    if isinstance(base, bnb.nn.Linear4bit):
        return bnb.functional.dequantize_4bit(base.weight.data, base.weight.quant_state).double()
    scales = base.weight.SCB if base.weight.SCB is not None else base.state.SCB
    return base.weight.data.double() * scales.double()[:, None] / 127


def written(layer: nn.Module, weight: Tensor, own: dict[str, Tensor]) -> Tensor:
    v = weight + S * own["lora_b"] @ own["lora_a"] if "lora_a" in own else weight
    if "magnitude" not in own:
        return v
    norm = v.pow(2).sum(dim=1).sqrt()
    norm = norm if getattr(layer, "norm_gradient", "") == "full" else norm.detach()
    return (own["magnitude"] / norm)[:, None] * v


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_the_equation(bnb, method, bits, bias):
    layer = shaken(adapted(method, bits, bias=bias)).train()
    own = {n: p.detach().double().requires_grad_() for n, p in layer.named_parameters(recurse=False)}
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(2)).requires_grad_()
    exact_x = x.detach().double().requires_grad_()
    found = layer(x)
    expected = exact_x @ written(layer, true_weight(bnb, layer.base), own).T
    expected = expected if layer.base.bias is None else expected + layer.base.bias.double()
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    (found * weights).sum().backward()
    (expected * weights.double()).sum().backward()
    assert relative(x.grad, exact_x.grad) < 1e-5
    for name, parameter in layer.named_parameters(recurse=False):
        assert relative(parameter.grad, own[name].grad) < 1e-5, name


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_starts_as_the_base_bit_for_bit(method, bits, dtype, training):
    layer = adapted(method, bits, dtype).train(training)
    # In evaluation mode bitsandbytes packs 4 bits anew on CPUs with AVX-512, and only multiples of 32 rows.
    base = copy.deepcopy(layer.base).train(training or bits == "nf4")
    x = torch.randn(7, 32).to(dtype)
    assert torch.equal(layer(x), base(x))
    assert {p.dtype for p in layer.parameters(recurse=False)} == {torch.float32}


def test_the_base_keeps_its_bits_and_the_dtype_of_its_bias(method, bits):
    layer = shaken(adapted(method, bits)).eval()
    before = {name: value.clone() for name, value in layer.base.state_dict().items()}
    layer(torch.randn(3, 32).bfloat16())
    layer.train()(torch.randn(3, 32).bfloat16()).float().sum().backward()
    after = layer.base.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[n], v) and after[n].dtype == v.dtype for n, v in before.items())


def test_no_weight_is_kept_for_the_backward(method, bits):
    layer = shaken(adapted(method, bits)).train()
    kept: list[int] = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t)
    with hooks:
        layer(torch.randn(3, 32, requires_grad=True))
    assert kept and max(kept) < 24 * 32 / 4


def test_an_activation_checkpoint_changes_no_gradient(method, bits):
    layer = shaken(adapted(method, bits)).train()
    x = torch.randn(5, 32)
    layer(x).pow(2).sum().backward()
    expected = [p.grad.clone() for p in layer.parameters(recurse=False)]
    layer.zero_grad()
    torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False).pow(2).sum().backward()
    found = [p.grad for p in layer.parameters(recurse=False)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_dropout_draws_one_mask_for_both_products():
    layer = shaken(adapted("dora", "nf4", dropout=0.5, dropout_mode="reference")).train()
    x = torch.randn(6, 32)
    torch.manual_seed(11)
    dropped = nn.functional.dropout(x, 0.5)
    w, shift = layer.matrix(), S * layer.lora_b @ layer.lora_a
    c = layer.magnitude / (w + shift).norm(dim=1)
    expected = x @ w.T + (c - 1) * (dropped @ w.T) + layer.base.bias + c * (dropped @ shift.T)
    torch.manual_seed(11)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)


def test_merged_computes_the_same_map_and_leaves_the_bits(method, bits):
    layer = shaken(adapted(method, bits)).eval()
    x = torch.randn(9, 32)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    expected = layer(x)
    layer.merge()
    loose = {"atol": 0.1, "rtol": 0.1} if bits == "int8" else {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(layer(x), expected, **loose)  # int8 rounds x too, in evaluation
    with pytest.raises(ValueError, match="already merged"):
        layer.merge()
    with pytest.raises(RuntimeError, match="cannot train"):
        layer.train()(x)
    layer.eval().unmerge()
    after = layer.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(layer(x), expected)


def test_the_merged_copy_has_the_dtype_of_the_weight_before(method, bits):
    layer = shaken(adapted(method, bits, torch.bfloat16)).eval()
    expected = layer.merged_weight()
    layer.merge()
    assert expected.dtype == torch.float32
    assert torch.equal(layer._plain, expected.bfloat16())
    assert layer(torch.randn(3, 32)).dtype == torch.float32


def selection(method: str, bits: str) -> dict:
    word, options = METHODS[method]
    rule = {"method": word, "layers": ["fc1", "fc2"], **options}
    return {"language": {**rule, "quantization": bits, "biases": True}}


def test_a_network_goes_all_the_way(network, fresh, data, method, bits, tmp_path):
    float_audit = apply_adapters(
        fresh(), {"language": {**selection(method, bits)["language"], "quantization": None}}
    )
    audit = apply_adapters(network, selection(method, bits))
    assert f"({bits})" in str(audit) and audit.to_dict()["rows"][2]["quantization"] == bits
    assert (audit.trainable, audit.total, audit.parts) == (
        float_audit.trainable,
        float_audit.total,
        float_audit.parts,
    )
    check = MovementCheck(network)
    optimizer = torch.optim.AdamW(parameter_groups(network, audit, lr=1e-2, weight_decay=0.0))
    for _ in range(2):
        optimizer.zero_grad()
        network(*data).pow(2).mean().backward()
        optimizer.step()
    check.check()
    expected = network(*data).detach()

    merge(network)
    loose = {"atol": 0.1, "rtol": 0.1} if bits == "int8" else {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(network(*data), expected, **loose)
    merged = network(*data).detach()
    unmerge(network)
    assert torch.equal(network(*data), expected)

    plain = fresh(1)
    plain.load_state_dict(plain_state(network))
    torch.testing.assert_close(plain(*data), merged, atol=1e-5, rtol=1e-4)

    save_adapter(network, tmp_path)
    loaded = fresh()
    load_adapter(loaded, tmp_path)
    assert torch.equal(loaded.eval()(*data), expected)

    resumed = fresh()
    apply_adapters(resumed, selection(method, bits))
    load_trainable_state(resumed, trainable_state(network))
    assert torch.equal(resumed.eval()(*data), expected)


def test_a_changed_scale_of_frozen_bits_is_found(network):
    apply_adapters(network, selection("dora", "nf4"))
    check = MovementCheck(network)
    layer = adapted_layers(network)["text.layers.0.fc1"]
    layer.base.weight.quant_state.offset += 1e-3
    with pytest.raises(ValueError, match=r"frozen tensors that changed: text\.layers\.0\.fc1\.base\.weight"):
        check.check()


def test_a_network_that_was_loaded_in_4_bits_is_adapted_as_it_is(network, data):
    block = network.text["layers"][0]
    block.fc1 = quantized(block.fc1, "nf4")
    expected = network(*data)
    audit = apply_adapters(network, {"language": {"method": "dora", "layers": ["fc1"], "rank": 2}})
    assert audit.rows[2].quantization == "nf4"
    assert torch.equal(network(*data), expected)
    assert [layer.base.weight.dtype for layer in adapted_layers(network).values()] == [
        torch.uint8,
        torch.float32,
    ]


FULL = "full cannot train the quantized weights text.layers.0.fc1.weight"
LOW = {"layers": ["fc1"], "rank": 2}
REFUSED = {
    "already in 4 bits": ({"method": "lora", **LOW, "quantization": "int8"}, "held in nf4 already"),
    "full": ({"method": "full", "layers": ["fc1"]}, FULL),
    "full part": ({"method": "full"}, FULL),
    "pissa": ({"method": "dora", **LOW, "init": "pissa"}, "init='pissa' keeps a residual in the base"),
    "merged forward": ({"method": "dora", **LOW, "merged_forward": "always"}, "is not for quantized weights"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_quantized_weights_cannot_do_is_refused(network, case):
    rule, words = REFUSED[case]
    block = network.text["layers"][0]
    block.fc1 = quantized(block.fc1, "nf4")
    with pytest.raises(ValueError, match=words):
        apply_adapters(network, {"language": rule})
    assert not adapted_layers(network)
    assert block.fc2.weight.requires_grad and type(block.fc2) is nn.Linear


def test_vera_on_quantized_weights_is_refused():
    network = nn.Sequential(quantized(nn.Linear(8, 8), "nf4"))
    with pytest.raises(ValueError, match="method vera cannot adapt a Linear4bit; it adapts nn.Linear"):
        apply_adapters(network, {"network": {"method": "vera", "rank": 2}})


def test_a_double_weight_is_refused(network):
    network.double()
    with pytest.raises(
        ValueError, match=r"adapter\.language: a weight of torch\.float64 cannot be quantized"
    ):
        apply_adapters(network, selection("lora", "int8"))
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("dora", [False, True])
def test_outputs_and_gradients_are_those_of_peft(bits, dora):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    base = quantized(nn.Linear(64, 48), bits)
    ours, theirs = nn.Sequential(copy.deepcopy(base)), nn.Sequential(copy.deepcopy(base))
    setattr(theirs, "is_loaded_in_4bit" if bits == "nf4" else "is_loaded_in_8bit", True)
    theirs = peft.get_peft_model(
        theirs, peft.LoraConfig(r=4, lora_alpha=8, use_dora=dora, target_modules=["0"])
    )
    apply_adapters(
        ours, {"network": {"method": "dora" if dora else "lora", "layers": ["0"], "rank": 4, "alpha": 8}}
    )
    layer = adapted_layers(ours)["0"]
    told = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
    own = {"lora_A": layer.lora_a, "lora_B": layer.lora_b}
    if dora:
        own["lora_magnitude_vector"] = layer.magnitude
    match = {part: next(p for name, p in told.items() if part in name) for part in own}
    assert len(match) == len(told)
    with torch.no_grad():
        for part, parameter in own.items():
            if part == "lora_magnitude_vector":
                torch.testing.assert_close(parameter, match[part], atol=1e-5, rtol=1e-4)
            parameter.add_(0.1 * torch.randn_like(parameter))
            match[part].copy_(parameter)
    ours.train(), theirs.train()
    x = torch.randn(5, 64)
    weights = torch.randn(5, 48)
    found, expected = ours(x), theirs(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for part, parameter in own.items():
        assert relative(parameter.grad, match[part].grad.double()) < 1e-5, part


@pytest.mark.parametrize("dora", [False, True])
def test_directories_go_to_peft_and_come_back(bits, dora, tmp_path):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    base = quantized(nn.Linear(64, 48), bits)

    def network() -> nn.Module:
        made = nn.Sequential(copy.deepcopy(base))
        setattr(made, "is_loaded_in_4bit" if bits == "nf4" else "is_loaded_in_8bit", True)
        return made.eval()

    x, ours = torch.randn(5, 64), network()
    method = "dora" if dora else "lora"
    apply_adapters(ours, {"network": {"method": method, "layers": ["0"], "rank": 4, "alpha": 8}})
    shaken(ours)
    save_adapter(ours, tmp_path / "ours")
    # 4 bits in training mode (there is no dropout), for the reason given above.
    theirs = peft.PeftModel.from_pretrained(network(), tmp_path / "ours").train(bits == "nf4")
    torch.testing.assert_close(theirs(x), ours(x), atol=1e-5, rtol=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    back = network()
    load_adapter(back, tmp_path / "theirs")
    assert torch.equal(back.eval()(x), ours(x))
