"""PEFT's adapters on transformers' LLaVA find the network here, and ours find transformers' LLaVA."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from vl_dora.adapters import adapted_layers, apply_adapters, import_adapter, load_adapter, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]

SELECTIONS = {
    "dora and a whole projector": {
        "projector": "full",
        "language": {"method": "dora", "layers": ["q_proj", "down_proj"], "rank": 3, "alpha": 6},
    },
    "dora on the projector": {
        "projector": {"method": "dora", "rank": 2, "alpha": 4},
        "language": {"method": "dora", "layers": ["v_proj"], "rank": 3},
    },
    "magnitudes on some": {
        "language": {
            "method": "dora",
            "layers": ["q_proj"],
            "rank": 3,
            "also": {"rest": {"method": "magnitude", "layers": ["o_proj", "up_proj"]}},
        },
    },
    "the head too, and a layer of the tower": {
        "vision": {"method": "lora", "layers": [r".*layers\.0\..*v_proj"], "rank": 2},
        "language": {"method": "lora", "layers": [r"layers\.1\..*q_proj"], "rank": 3, "rslora": True},
    },
}


def moved(network, seed=3):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


def logits(model, batch):
    """Of transformers' model; visual places are word 39 there."""
    model.config.image_token_id = 39
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    values = (batch.pixels[batch.image_mask].float() / 255 - mean) / std
    ids = batch.input_ids.masked_fill(batch.input_ids < 0, 39)
    return model(ids, pixel_values=values, attention_mask=batch.attention_mask.long()).logits[:, :-1]


@pytest.fixture
def batch(conversation_batch):
    return conversation_batch([(1, [5, 6, 7], [8, 9, 2]), (0, [10, 11], [12, 2])])


@torch.no_grad()
@pytest.mark.parametrize("name", SELECTIONS)
def test_plain_peft_puts_our_adapter_on_plain_transformers(name, tiny_llava, batch, tmp_path):
    network = tiny_llava()
    apply_adapters(network, SELECTIONS[name])
    moved(network)
    save_adapter(network, tmp_path)
    assert not any(".llava." in key for key in load_file(tmp_path / "adapter_model.safetensors"))
    theirs = peft.PeftModel.from_pretrained(tiny_llava().llava, tmp_path).eval()
    real = batch.attention_mask[:, 1:]
    expected = network.logits(batch)[:, 1:][real]
    torch.testing.assert_close(logits(theirs, batch)[real], expected, atol=1e-5, rtol=1e-4)
    again = tiny_llava()
    load_adapter(again, tmp_path)
    torch.testing.assert_close(again.logits(batch)[:, 1:][real], expected)


@torch.no_grad()
@pytest.mark.parametrize("read", [load_adapter, import_adapter])
@pytest.mark.parametrize("dora", [False, True])
def test_a_directory_that_peft_wrote_is_read_and_saved_back_equal(read, dora, tiny_llava, batch, tmp_path):
    options = {
        "r": 3,
        "lora_alpha": 5,
        "use_dora": dora,
        "target_modules": r".*language_model.*(q_proj|gate_proj)",
        "modules_to_save": ["multi_modal_projector"],
    }
    theirs = moved(peft.get_peft_model(tiny_llava().llava, peft.LoraConfig(**options))).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    network = tiny_llava()
    read(network, tmp_path / "theirs")
    real = batch.attention_mask[:, 1:]
    torch.testing.assert_close(
        network.logits(batch)[:, 1:][real], logits(theirs, batch)[real], atol=1e-5, rtol=1e-4
    )
    save_adapter(network, tmp_path / "ours")
    found, expected = (
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("ours", "theirs")
    )
    assert found.keys() == expected.keys() and all(torch.equal(found[k], t) for k, t in expected.items())


def test_what_does_not_fit_the_network_is_refused_and_it_stays_as_it_was(tiny_llava, tmp_path):
    network = tiny_llava()
    apply_adapters(network, SELECTIONS["dora and a whole projector"])
    save_adapter(moved(network), tmp_path)
    other = tiny_llava(seed=1)
    with pytest.raises(ValueError, match="was trained on another base: llava.model.language_model.layers"):
        load_adapter(other, tmp_path)
    assert not adapted_layers(other)
    (tmp_path / "vl_dora.json").unlink()
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q_proj"]}))
    with pytest.raises(ValueError, match=r"disagree about llava\.model\.vision_tower.*mlp\.down_proj"):
        load_adapter(other, tmp_path)
    assert not adapted_layers(other)


def test_what_trains_beside_the_transformers_model_has_no_name_in_a_file(tiny_llava, tmp_path):
    network = tiny_llava()
    network.beside = torch.nn.Linear(4, 4)
    parts = {**network.parts, "beside": ("beside",)}
    apply_adapters(network, {"beside": {"method": "lora", "rank": 2}}, parts=parts)
    with pytest.raises(ValueError, match="beside lies outside llava"):
        save_adapter(network, tmp_path / "adapter")
