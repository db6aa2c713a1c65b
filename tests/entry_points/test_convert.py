"""A foreign adapter becomes a directory in PEFT's format, on the network that the options name."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

VISUAL = {
    "feature_projection": "feat_embedding.0",
    "feature_norm": "feat_embedding.1",
    "box_projection": "absolute_vis_pos_embedding.0",
    "box_norm": "absolute_vis_pos_embedding.1",
    "image_order": "img_order_embedding",
}
TABLE, START = "bart.model.shared.weight", "base_model.model."


@pytest.fixture(scope="module")
def last_pth(small, tmp_path_factory):
    """The state of the tiny base in the names of the VL-BART reference, with DoRA on every q_proj."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, value in load_file(small.folder / "base" / "model.safetensors").items():
        path, _, leaf = name.rpartition(".")
        if name.startswith("visual_embedding."):
            state[f"model.encoder.visual_embedding.{VISUAL[path.split('.')[1]]}.{leaf}"] = value
        elif name.endswith("q_proj.weight"):
            rows, columns = value.shape
            key = path.removeprefix("bart.")
            state[f"{key}.weight_v"] = value
            state[f"{key}.weight_m"] = value.norm(dim=1, keepdim=True) * 2
            state[f"{key}.lora_A"] = torch.randn(2, columns, generator=generator)
            state[f"{key}.lora_B"] = torch.randn(rows, 2, generator=generator)
        elif name.startswith("bart."):
            state[name.removeprefix("bart.")] = value
    file = tmp_path_factory.mktemp("reference") / "LAST.pth"
    torch.save(state, file)
    return file, state


def test_the_reference_checkpoint_becomes_a_directory_that_carries_all_of_it(convert, last_pth, tmp_path):
    file, state = last_pth
    audit = convert(f"from={file}", f"out={tmp_path / 'ours'}")
    assert {row.method for row in audit.rows if row.trainable} == {"dora", "full"}
    tensors = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    for key, value in state.items():
        if key.endswith("weight_m"):
            ours = tensors[f"{START}bart.{key.removesuffix('.weight_m')}.lora_magnitude_vector"]
            assert torch.equal(ours, value[:, 0])
    (rows,) = load_file(tmp_path / "ours" / "vl_dora_rows.safetensors").values()
    assert torch.equal(rows, state["model.shared.weight"][-200:])
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_another_base_stops_or_warns_as_asked(convert, last_pth, tmp_path):
    _, state = last_pth
    drifted = {key: value.clone() for key, value in state.items()}
    drifted["model.encoder.layers.0.fc1.weight"] += 1.0
    torch.save(drifted, tmp_path / "LAST.pth")
    options = f"from={tmp_path / 'LAST.pth'}", f"out={tmp_path / 'ours'}"
    with pytest.raises(ValueError, match="trained on another base"):
        convert(*options)
    assert not (tmp_path / "ours").exists()
    with pytest.warns(UserWarning, match="trained on another base"):
        convert(*options, "on_drift=warn")
    assert (tmp_path / "ours" / "adapter_config.json").is_file()


def test_what_cannot_be_converted_leaves_nothing(convert, last_pth, tmp_path):
    save_file({"lora_unet_x.dora_scale": torch.ones(1, 4)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="LyCORIS or kohya"):
        convert(f"from={tmp_path / 'x.safetensors'}", f"out={tmp_path / 'ours'}")
    with pytest.raises(ValueError, match="on_drift='no' is unknown"):
        convert(f"from={last_pth[0]}", f"out={tmp_path / 'ours'}", "on_drift=no")
    with pytest.raises(ValueError, match="is there already"):
        convert(f"from={last_pth[0]}", f"out={tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
