"""Convolutions and embeddings against PEFT: outputs, gradients, shapes, and what its files cannot say."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")

CLOSE = {"atol": 1e-5, "rtol": 1e-4}
IMAGE = torch.randn(2, 4, 7, 7, generator=torch.Generator().manual_seed(5))
# The base, what it is given; of those that PEFT computes rightly.
BASES = {
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), IMAGE[:, :, 0]),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0), bias=False), IMAGE),
    "Conv2d, points": (lambda: nn.Conv2d(4, 6, 1), IMAGE),
    "Conv3d": (lambda: nn.Conv3d(4, 6, 2), IMAGE[:, :, None].expand(-1, -1, 3, -1, -1)),
    "Embedding": (lambda: nn.Embedding(20, 6, padding_idx=0), torch.tensor([[3, 0, 7], [7, 7, 19]])),
}
# Ours -> theirs.
NAMES = {
    ".lora_A.weight": "lora_A.default.weight",
    ".lora_B.weight": "lora_B.default.weight",
    ".lora_embedding_A": "lora_embedding_A.default",
    ".lora_embedding_B": "lora_embedding_B.default",
    ".lora_magnitude_vector": "lora_magnitude_vector.default.weight",
}


def network(base: nn.Module) -> nn.Module:
    return nn.Sequential(copy.deepcopy(base))


def moved(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


def selection(method: str, **options) -> dict:
    return {"network": {"method": method, "layers": ["0"], "rank": 2, "alpha": 4, **options}}


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("kind", BASES)
def test_outputs_gradients_and_shapes_are_those_of_peft(kind, dora):
    torch.manual_seed(0)
    make, x = BASES[kind]
    base = make()
    config = peft.LoraConfig(r=2, lora_alpha=4, use_dora=dora, target_modules=["0"])
    theirs = moved(peft.get_peft_model(network(base), config))
    ours = network(base)
    apply_adapters(ours, selection("dora" if dora else "lora"))
    layer = adapted_layers(ours)["0"]
    told = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
    entries = layer.file_entries()
    match = {e: next(p for n, p in told.items() if n.endswith(NAMES[e])) for e in entries}
    assert len(match) == len(told)
    assert {e: entry.shape for e, entry in entries.items()} == {e: tuple(p.shape) for e, p in match.items()}
    for ending, entry in entries.items():
        entry.assign(match[ending].detach())
    found, expected = ours(x), theirs(x)
    torch.testing.assert_close(found, expected, **CLOSE)
    weights = torch.randn(found.shape)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    own = {ending: getattr(layer, name).grad for name, ending in layer.file_keys.items() if ending in match}
    for ending, parameter in match.items():
        difference = (own[ending].flatten() - parameter.grad.flatten()).norm()
        assert difference <= 1e-5 * parameter.grad.norm(), ending


@pytest.mark.parametrize("rank", [2, 4])
def test_peft_reads_a_grouped_lora_and_gives_our_outputs(rank, tmp_path):
    torch.manual_seed(0)
    base = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    ours = network(base)
    apply_adapters(ours, selection("lora", rank=rank))
    save_adapter(moved(ours), tmp_path)
    with pytest.warns(UserWarning, match="groups > 1"):
        theirs = peft.PeftModel.from_pretrained(network(base), tmp_path)
    torch.testing.assert_close(ours(IMAGE), theirs(IMAGE), **CLOSE)
    fresh = network(base)
    load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(IMAGE), ours(IMAGE))


def test_peft_reads_magnitudes_of_a_grouped_convolution(tmp_path):
    torch.manual_seed(0)
    base = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    ours = network(base)
    apply_adapters(ours, {"network": {"method": "magnitude", "layers": ["0"]}})
    save_adapter(moved(ours), tmp_path)
    with pytest.warns(UserWarning, match="groups > 1"):
        theirs = peft.PeftModel.from_pretrained(network(base), tmp_path)
    torch.testing.assert_close(ours(IMAGE), theirs(IMAGE), **CLOSE)


@pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups > 1.*:UserWarning")
def test_what_peft_gets_wrong_of_a_grouped_dora_stands_in_the_record(tmp_path):
    torch.manual_seed(0)
    base = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    ours = network(base)
    apply_adapters(ours, selection("dora"))
    save_adapter(moved(ours), tmp_path)
    told = json.loads((tmp_path / "vl_dora.json").read_text())["not_read_by_peft"]
    assert told == ["0: the norm with 2 groups: PEFT's is of another weight"]
    theirs = peft.PeftModel.from_pretrained(network(base), tmp_path)
    assert (ours(IMAGE) - theirs(IMAGE)).abs().max() > 1e-3  # when PEFT is put right, the record can go
    fresh = network(base)
    load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(IMAGE), ours(IMAGE))


@pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups > 1.*:UserWarning")
def test_a_grouped_lora_that_mixes_groups_is_refused(tmp_path):
    base = nn.Conv2d(4, 6, 3, groups=2)
    config = peft.LoraConfig(r=2, target_modules=["0"])
    moved(peft.get_peft_model(network(base), config)).save_pretrained(tmp_path)
    fresh = network(base)
    with pytest.raises(ValueError, match="mixes channels of different groups, as PEFT trains it"):
        load_adapter(fresh, tmp_path)
    assert not adapted_layers(fresh)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dilation": 2}, r"0: A of dilation (2, 2): PEFT leaves the dilation out"),
        ({"padding": 1, "padding_mode": "circular"}, "0: A of padding mode circular: PEFT pads with zeros"),
    ],
)
def test_a_geometry_that_peft_leaves_out_stands_in_the_record(options, words, tmp_path):
    ours = network(nn.Conv2d(4, 6, 3, **options))
    apply_adapters(ours, selection("lora"))
    save_adapter(moved(ours), tmp_path)
    assert json.loads((tmp_path / "vl_dora.json").read_text())["not_read_by_peft"] == [words]


@pytest.mark.parametrize("dora", [False, True])
def test_a_dropout_that_peft_does_not_use_beside_tables_is_left_out(dora, tmp_path):
    torch.manual_seed(0)
    base = nn.Sequential(nn.Embedding(20, 6), nn.Linear(6, 5))
    config = peft.LoraConfig(r=2, use_dora=dora, lora_dropout=0.5, target_modules=["0", "1"])
    theirs = moved(peft.get_peft_model(copy.deepcopy(base), config)).eval()
    theirs.save_pretrained(tmp_path, save_embedding_layers=False)
    ours = copy.deepcopy(base).eval()
    load_adapter(ours, tmp_path)
    ids = torch.tensor([[3, 0, 7]])
    torch.testing.assert_close(ours(ids), theirs(ids), **CLOSE)
    assert adapted_layers(ours)["1"].dropout.p == 0.5
