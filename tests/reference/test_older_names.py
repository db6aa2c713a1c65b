"""Adapters of LLaVA written under the module names of older transformers, read into today's network."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, save_adapter

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft", reason="PEFT writes the directories here")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]

# (today, then), as the weights of llava-hf on the hub are named, and as version 4.52 to 4.57 named modules.
BEFORE_4_52 = [
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.vision_tower.", "vision_tower.vision_model."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
]
UNTIL_5 = [("model.vision_tower.", "model.vision_tower.vision_model.")]


def llava() -> nn.Module:
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    text = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=60)
    return transformers.LlavaForConditionalGeneration(config).eval()


def logits(network: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 59, (2, 9), generator=generator)
    ids[:, 1:5] = 60
    return network(input_ids=ids, pixel_values=torch.randn(2, 3, 16, 16, generator=generator)).logits


def older(key: str, pairs) -> str:
    start = "base_model.model."
    name = key.removeprefix(start)
    for today, then in pairs:
        if name.startswith(today):
            return start + then + name[len(today) :]
    return key


def write_older(folder, pairs, **changes):
    """A directory of PEFT, its tensors and config renamed; returns the logits."""
    options = {
        "r": 4,
        "use_dora": True,
        "target_modules": ["q_proj", "v_proj", "gate_proj"],
        "modules_to_save": ["multi_modal_projector", "lm_head"],
    }
    theirs = peft.get_peft_model(llava(), peft.LoraConfig(**options))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    theirs.eval().save_pretrained(folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    renamed = {older(key, pairs): value for key, value in tensors.items()}
    assert set(renamed) != set(tensors)
    save_file(renamed, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))
    return logits(theirs).detach(), tensors


REGEX = r"(language_model\.model|vision_tower\.vision_model)\..*(q_proj|v_proj|gate_proj)"


@pytest.mark.parametrize(
    ("pairs", "changes"),
    [
        (BEFORE_4_52, {}),
        (UNTIL_5, {}),
        (BEFORE_4_52, {"target_modules": REGEX}),
        (BEFORE_4_52, {"alpha_pattern": {r"language_model\.model\.layers\.\d+\.self_attn\.q_proj": 6}}),
    ],
)
def test_every_tensor_finds_its_place_today(pairs, changes, tmp_path):
    expected, tensors = write_older(tmp_path / "old", pairs, **changes)
    network = llava()
    load_adapter(network, tmp_path / "old")
    save_adapter(network, tmp_path / "new")
    saved = load_file(tmp_path / "new" / "adapter_model.safetensors")
    assert set(saved) == set(tensors) and all(torch.equal(saved[key], tensors[key]) for key in tensors)
    if "alpha_pattern" in changes:
        scales = {path: layer.scale for path, layer in adapted_layers(network).items()}
        default = 8 / 4  # PEFT's own lora_alpha is 8
        assert scales == {p: 1.5 if "language" in p and p.endswith("q_proj") else default for p in scales}
    else:
        torch.testing.assert_close(logits(network), expected, atol=1e-5, rtol=1e-4)


def test_a_network_that_carries_the_same_adapters_reads_older_names_too(tmp_path):
    expected, _ = write_older(tmp_path / "old", BEFORE_4_52)
    fresh, network = llava(), llava()
    load_adapter(fresh, tmp_path / "old")
    adaptation = fresh.adaptation
    apply_adapters(network, adaptation.selection)
    load_adapter(network, tmp_path / "old")
    torch.testing.assert_close(logits(network), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda keys: keys[0].replace("layers.0", "layers.7"), "layers.7"),
        (lambda keys: keys[0].replace("language_model", "langage_model"), "langage_model"),
    ],
)
def test_a_name_of_no_generation_stops_and_is_named(edit, words, tmp_path):
    write_older(tmp_path, BEFORE_4_52)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    keys = [
        key for key in tensors if "language_model.model.layers.0" in key and key.endswith("lora_A.weight")
    ]
    tensors[edit(keys)] = tensors.pop(keys[0])
    save_file(tensors, file, metadata={"format": "pt"})
    network = llava()
    with pytest.raises(ValueError, match="another network"):
        load_adapter(network, tmp_path)
    assert not adapted_layers(network)


def test_one_tensor_too_many_or_too_few_is_named_under_todays_name(tmp_path):
    write_older(tmp_path, BEFORE_4_52)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    key = next(key for key in tensors if "language_model.model.layers.1" in key and key.endswith("vector"))
    del tensors[key]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing base_model.model.model.language_model.layers.1.*vector"):
        load_adapter(llava(), tmp_path)
