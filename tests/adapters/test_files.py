"""Saving and loading: everything travels, everything is audited, nothing is half-written."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, merge, save_adapter

LAYERS = ["q_proj", "v_proj"]
SELECTIONS = {
    "frozen": {},
    "full": {"vision": "full", "projector": "full", "language": "full"},
    "lora": {"language": {"method": "lora", "layers": LAYERS, "rank": 2, "alpha": 6}},
    "dora": {"language": {"method": "dora", "layers": LAYERS, "rank": 2, "norm_gradient": "full"}},
    "magnitude": {"language": {"method": "magnitude", "layers": LAYERS}},
    "biases": {"language": {"method": "frozen", "biases": True}},
    "mixed": {
        "vision": "full",
        "projector": {"method": "lora", "rank": 4, "alpha": 2},
        "language": {
            "method": "dora",
            "layers": LAYERS,
            "rank": 2,
            "lr": 0.1,
            "biases": True,
            "layer_norms": True,
            "also": {"mlp": {"method": "magnitude", "layers": ["fc1", "fc2"]}},
        },
    },
}


def run(network, data):
    """One step in training mode, so that running means move too; then the output."""
    network.train()
    network(*data)
    return network.eval()(*data)


@pytest.mark.parametrize("method", SELECTIONS)
def test_saved_then_loaded_gives_equal_outputs(method, network, fresh, shaken, data, tmp_path):
    audit = apply_adapters(network, SELECTIONS[method])
    shaken(network)
    if "vision" in SELECTIONS[method]:
        run(network, data)
    save_adapter(network, tmp_path / "a")
    other = fresh()
    assert load_adapter(other, tmp_path / "a") == audit
    assert torch.equal(other(*data), network(*data))
    assert {n for n, p in other.named_parameters() if p.requires_grad} == {
        n for n, p in network.named_parameters() if p.requires_grad
    }
    kinds = [(path, layer.method, layer.extra_repr()) for path, layer in adapted_layers(network).items()]
    assert kinds == [
        (path, layer.method, layer.extra_repr()) for path, layer in adapted_layers(other).items()
    ]


def test_loads_into_a_network_that_carries_the_same_adapters(network, fresh, shaken, data, tmp_path):
    apply_adapters(network, SELECTIONS["mixed"])
    shaken(network)
    save_adapter(network, tmp_path / "a")
    other = fresh()
    apply_adapters(other, SELECTIONS["mixed"])
    load_adapter(other, tmp_path / "a")
    assert torch.equal(other(*data), network(*data))


def test_rows_of_the_base_travel_by_argument_and_by_attribute(network, fresh, shaken, data, tmp_path):
    apply_adapters(network, SELECTIONS["dora"])
    with torch.no_grad():
        network.text["embed"].weight[10:] = 5.0
        network.projector[0].bias.fill_(2.0)
    network.adapter_extras = {"text.embed.weight": 10}
    save_adapter(network, tmp_path / "a", also=["projector.0.bias"])
    other = fresh()
    load_adapter(other, tmp_path / "a")
    assert torch.equal(other(*data), network(*data))
    told = json.loads((tmp_path / "a/vl_dora.json").read_text())["not_read_by_peft"]
    assert told == ["rows 10 and up of text.embed.weight", "rows 0 and up of projector.0.bias"]
    with pytest.raises(ValueError, match="no tensor 'text.nothing'"):
        save_adapter(network, tmp_path / "b", also=["text.nothing"])
    with pytest.raises(ValueError, match="there is no row 12"):
        save_adapter(network, tmp_path / "b", also={"text.embed.weight": 12})
    assert not (tmp_path / "b").exists()


def change(folder, edit):
    tensors = load_file(folder / "adapter_model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


KEY = "base_model.model.text.layers.0.q_proj.lora_magnitude_vector"
DAMAGES = {
    f"missing {KEY}; left over nothing": lambda t: t.pop(KEY),
    "missing nothing; left over extra": lambda t: t.update(extra=torch.ones(1)),
    f"{KEY} has shape (3,), this network needs (8,)": lambda t: t.update({KEY: torch.ones(3)}),
}


@pytest.mark.parametrize("words", DAMAGES)
@pytest.mark.parametrize("adapted", [False, True])
def test_every_key_is_audited_and_a_misfit_changes_nothing(words, adapted, network, fresh, tmp_path):
    apply_adapters(network, SELECTIONS["dora"])
    save_adapter(network, tmp_path)
    change(tmp_path, DAMAGES[words])
    other = fresh()
    if adapted:
        apply_adapters(other, SELECTIONS["dora"])
    before = {name: value.clone() for name, value in other.state_dict().items()}
    needs = [parameter.requires_grad for parameter in other.parameters()]
    with pytest.raises(ValueError) as error:
        load_adapter(other, tmp_path)
    assert words in str(error.value)
    assert [parameter.requires_grad for parameter in other.parameters()] == needs
    assert list(other.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    if not adapted:
        apply_adapters(other, SELECTIONS["dora"])


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ({"language": {**SELECTIONS["dora"]["language"], "rank": 3}}, "has shape"),
        (
            {"language": {**SELECTIONS["dora"]["language"], "alpha": 9}},
            "rank 2 and scale 1 there, rank 2 and scale 4.5",
        ),
        (SELECTIONS["lora"], "left over"),
        (SELECTIONS["mixed"], "missing"),
    ],
)
def test_other_adapters_than_the_networks_own_are_refused(selection, words, network, fresh, tmp_path):
    apply_adapters(network, SELECTIONS["dora"])
    save_adapter(network, tmp_path)
    other = fresh()
    apply_adapters(other, selection)
    with pytest.raises(ValueError, match=words):
        load_adapter(other, tmp_path)


def test_another_network_is_refused(network, tmp_path):
    apply_adapters(network, SELECTIONS["dora"])
    save_adapter(network, tmp_path)
    with pytest.raises(ValueError, match="is an adapter of another network than this Sequential"):
        load_adapter(nn.Sequential(nn.Linear(2, 2)), tmp_path)


def test_missing_and_damaged_files_are_named(network, fresh, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a directory"):
        load_adapter(fresh(), tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"adapter_config.json is missing"):
        load_adapter(fresh(), tmp_path)
    apply_adapters(network, SELECTIONS["dora"])
    save_adapter(network, tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"adapter_model.safetensors is damaged"):
        load_adapter(fresh(), tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="adapter_model.safetensors is missing"):
        load_adapter(fresh(), tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="a pickle"):
        load_adapter(fresh(), tmp_path)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"adapter_config.json is not JSON"):
        load_adapter(fresh(), tmp_path)


def test_what_cannot_be_saved_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match="no adapters"):
        save_adapter(network, tmp_path / "a")
    apply_adapters(network, SELECTIONS["dora"])
    merge(network)
    with pytest.raises(ValueError, match="merged"):
        save_adapter(network, tmp_path / "a")
    with torch.device("meta"):
        ghost = nn.Sequential(nn.Linear(4, 4))
    apply_adapters(ghost, {"network": {"method": "lora", "rank": 2}})
    with pytest.raises(ValueError, match="meta device"):
        save_adapter(ghost, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_saving_twice_writes_the_same_bytes_and_removes_stale_rows(network, tmp_path):
    apply_adapters(network, SELECTIONS["mixed"])
    save_adapter(network, tmp_path / "a", also={"text.embed.weight": 10})
    save_adapter(network, tmp_path / "b")
    save_adapter(network, tmp_path / "a")
    files = [{file.name: file.read_bytes() for file in (tmp_path / n).iterdir()} for n in "ab"]
    assert files[0] == files[1]
    assert "vl_dora_rows.safetensors" not in files[0]
