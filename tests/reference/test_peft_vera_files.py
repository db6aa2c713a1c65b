"""VeRA directories both ways between this project and PEFT; others with such layers, which PEFT refuses."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")

pytestmark = pytest.mark.filterwarnings("ignore:Specified to not (save|load) vera_A and vera_B:UserWarning")

CLOSE = {"atol": 1e-5, "rtol": 1e-4}
CONFIG, WEIGHTS, RECORD = "adapter_config.json", "adapter_model.safetensors", "vl_dora.json"
VERA = {"method": "vera", "layers": ["up", "down"], "rank": 6, "projection_seed": 3}


class Network(nn.Module):
    parts = {"vision": ("eyes",), "language": ("up", "norm", "down")}

    def __init__(self) -> None:
        super().__init__()
        self.eyes = nn.Linear(10, 12)
        self.up, self.norm, self.down = nn.Linear(12, 20), nn.LayerNorm(20), nn.Linear(20, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.tanh(self.norm(self.up(self.eyes(x)))))


def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


def moved(module: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def x() -> torch.Tensor:
    return torch.randn(5, 10, generator=torch.Generator().manual_seed(2))


def told(directory) -> list[str]:
    return json.loads((directory / RECORD).read_text())["not_read_by_peft"]


@pytest.mark.parametrize(
    "language", [VERA, {**VERA, "biases": True, "layer_norms": True}], ids=["alone", "biases and norms"]
)
def test_peft_reads_our_vera(language, tmp_path):
    ours = network()
    apply_adapters(ours, {"language": language})
    moved(ours)
    save_adapter(ours, tmp_path / "a")
    assert told(tmp_path / "a") == []
    assert not [key for key in load_file(tmp_path / "a" / WEIGHTS) if "vera_A" in key or "vera_B" in key]
    theirs = peft.PeftModel.from_pretrained(network(), tmp_path / "a").eval()
    assert (ours(x()) - network()(x())).abs().max() > 0.1
    torch.testing.assert_close(ours(x()), theirs(x()), **CLOSE)
    again = network()
    load_adapter(again, tmp_path / "a")
    assert torch.equal(again(x()), ours(x()))


def written_by_peft(directory, **options) -> torch.Tensor:
    config = peft.VeraConfig(**{"r": 6, "target_modules": ["up", "down"], **options})
    theirs = moved(peft.get_peft_model(network(), config)).eval()
    theirs.save_pretrained(directory)
    return theirs(x()).detach()


@pytest.mark.parametrize(
    "options",
    [{}, {"save_projection": False, "projection_prng_key": 5}, {"vera_dropout": 0.1, "d_initial": 0.3}],
    ids=["with matrices", "with a seed", "with dropout"],
)
def test_vera_of_peft_loads_here_and_saves_back_with_equal_tensors(options, tmp_path):
    expected = written_by_peft(tmp_path / "theirs", **options)
    ours = network()
    load_adapter(ours, tmp_path / "theirs")
    torch.testing.assert_close(ours(x()), expected, **CLOSE)
    assert {layer.dropout.p for layer in adapted_layers(ours).values()} == {options.get("vera_dropout", 0.0)}
    save_adapter(ours, tmp_path / "ours")
    theirs, back = (load_file(tmp_path / who / WEIGHTS) for who in ("theirs", "ours"))
    vectors = {key: tensor for key, tensor in theirs.items() if "lambda" in key}
    assert set(back) == set(vectors)
    assert all(torch.equal(back[key], vectors[key]) for key in vectors)
    again = peft.PeftModel.from_pretrained(network(), tmp_path / "ours").eval()
    torch.testing.assert_close(again(x()), expected, **CLOSE)


def test_matrices_that_the_seed_does_not_draw_are_refused(tmp_path):
    written_by_peft(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors["base_model.vera_B"][0, 0] += 1e-3
    save_file(tensors, tmp_path / WEIGHTS, metadata={"format": "pt"})
    fresh = network()
    with pytest.raises(
        ValueError, match=r"base_model\.vera_B .* is not the matrix .* that projection_prng_key=0"
    ):
        load_adapter(fresh, tmp_path)
    assert not adapted_layers(fresh)


def test_layers_in_several_parts_are_refused(tmp_path):
    written_by_peft(tmp_path, target_modules=["eyes", "down"])
    with pytest.raises(ValueError, match="VeRA layers inside and outside the part vision"):
        load_adapter(network(), tmp_path)


@pytest.mark.parametrize("other", [{"projection_seed": 4}, {"rank": 7}, {"layers": ["up"]}])
@pytest.mark.parametrize("writer", ["ours", "theirs"])
def test_vectors_do_not_go_onto_other_matrices(other, writer, tmp_path):
    if writer == "ours":
        ours = network()
        apply_adapters(ours, {"language": VERA})
        save_adapter(ours, tmp_path)
    else:
        written_by_peft(tmp_path, save_projection=False, projection_prng_key=3)
    carrier = network()
    apply_adapters(carrier, {"language": {**VERA, **other}})
    with pytest.raises(ValueError, match="there and .* in this network|does not fit|needs"):
        load_adapter(carrier, tmp_path)


UNREAD = {
    "dvora": {"language": {**VERA, "method": "dvora"}},
    "two pairs": {"vision": {"method": "vera", "rank": 6}, "language": VERA},
    "beside lora": {"vision": {"method": "lora", "rank": 2}, "language": VERA},
}


@pytest.mark.parametrize("case", UNREAD)
def test_what_peft_cannot_read_says_so_and_stops_peft(case, tmp_path):
    ours = network()
    apply_adapters(ours, UNREAD[case])
    moved(ours)
    save_adapter(ours, tmp_path)
    assert "everything" in told(tmp_path)[0]
    with pytest.raises((KeyError, ValueError)):
        peft.PeftModel.from_pretrained(network(), tmp_path)
    again = network()
    load_adapter(again, tmp_path)
    assert torch.equal(again(x()), ours(x()))
