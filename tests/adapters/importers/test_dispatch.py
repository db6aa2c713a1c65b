"""Formats are told by the names of their tensors; what is none of them is refused with what was found."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vl_dora.adapters import apply_adapters, import_adapter, save_adapter


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))


def moved(network: nn.Module) -> nn.Module:
    apply_adapters(network, {"network": {"method": "dora", "layers": ["0"], "rank": 2}})
    with torch.no_grad():
        for parameter in network[0].parameters(recurse=False):
            parameter.add_(0.2 * torch.ones_like(parameter))
    return network


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("pickled", [True, False])
def test_a_directory_of_ours_or_of_peft_is_loaded_whole(record, pickled, tmp_path):
    network, x = moved(linear()), torch.randn(3, 8)
    save_adapter(network, tmp_path)
    if not record:
        (tmp_path / "vl_dora.json").unlink()
    if pickled and not record:
        weights = tmp_path / "adapter_model.safetensors"
        torch.save(load_file(weights), tmp_path / "adapter_model.bin")
        weights.unlink()
    fresh = linear()
    import_adapter(fresh, tmp_path)
    assert torch.equal(fresh(x), network(x))


@pytest.mark.parametrize("key", ["lora_unet_x.dora_scale", "0.dora_scale", "lycoris_0.dora_scale"])
@pytest.mark.parametrize("shape", [(8,), (1, 8), (8, 1)])
def test_lycoris_is_told_by_key_also_on_a_square_layer(key, shape, tmp_path):
    tensors = {key: torch.ones(shape), "0.lora_A.weight": torch.ones(2, 8), "0.weight_m": torch.ones(8, 1)}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=rf"LyCORIS or kohya file, it holds {key} of shape.*input column"):
        import_adapter(linear(), tmp_path / "x.safetensors")


def test_kohya_without_a_magnitude_is_refused_too(tmp_path):
    save_file({"lora_unet_x.lora_down.weight": torch.ones(2, 8)}, tmp_path / "x.safetensors")
    with pytest.raises(
        ValueError, match=r"kohya file, it holds lora_unet_x.lora_down.weight of shape \(2, 8\)"
    ):
        import_adapter(linear(), tmp_path / "x.safetensors")


def test_an_unknown_file_is_refused_with_its_keys(tmp_path):
    save_file({"a.b": torch.ones(2), "c": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"of no known format; it holds a\.b, c\. Known: PEFT"):
        import_adapter(linear(), tmp_path / "x.safetensors")


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"0.lora_A.weight": Runs()}, tmp_path / "x.bin")
    with pytest.raises(ValueError, match="holds more than tensors, which is not read"):
        import_adapter(linear(), tmp_path / "x.bin")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {"model": {"a": torch.ones(1)}}])
def test_a_pickle_of_other_things_is_refused(value, tmp_path):
    torch.save(value, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds no mapping of names to tensors"):
        import_adapter(linear(), tmp_path / "x.pth")


def test_damaged_and_missing_files_are_named(tmp_path):
    for name in ("x.bin", "x.safetensors"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            import_adapter(linear(), tmp_path / name)
    with pytest.raises(FileNotFoundError, match="does not exist; give an adapter file"):
        import_adapter(linear(), tmp_path / "y.bin")
    with pytest.raises(FileNotFoundError, match="holds none of adapter_model.safetensors"):
        import_adapter(linear(), tmp_path)
    (tmp_path / "adapter_config.json").write_text("[")
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="adapter_config.json is not JSON"):
        import_adapter(linear(), tmp_path / "x.safetensors")


def test_files_named_inside_a_config_are_never_opened(tmp_path):
    outside = tmp_path / "outside"
    save_adapter(moved(linear()), outside)
    inside = tmp_path / "inside"
    inside.mkdir()
    config = json.loads((outside / "adapter_config.json").read_text())
    for option in ("base_model_name_or_path", "weights", "adapter_model"):
        config[option] = "../outside/adapter_model.safetensors"
    (inside / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match="holds none of"):
        import_adapter(linear(), inside)


def test_options_and_networks_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="on_drift='ignore' is unknown; allowed: raise, warn"):
        import_adapter(linear(), tmp_path, on_drift="ignore")
    with pytest.raises(ValueError, match="already has adapters; import into a fresh one"):
        import_adapter(moved(linear()), tmp_path)
