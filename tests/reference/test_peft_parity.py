"""Logits and gradients against PEFT, and adapter directories read both ways, on transformers models."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vl_dora.adapters import adapted_layers, apply_adapters, load_adapter, save_adapter

peft = pytest.importorskip("peft", reason="PEFT is the oracle here")
transformers = pytest.importorskip("transformers")

# PEFT's and transformers' words to each other; nothing here can change them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*:UserWarning"),
]

CLOSE = {"atol": 1e-5, "rtol": 1e-4}
FILES = ("adapter_config.json", "adapter_model.safetensors")


def bart() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_position_embeddings=32,
        init_std=0.3,
    )
    return transformers.BartForConditionalGeneration(config).eval()


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


def bart_logits(model: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 60, (2, 9), generator=generator)
    return model(input_ids=ids, decoder_input_ids=ids[:, :5]).logits


def llava_logits(model: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 59, (2, 9), generator=generator)
    ids[:, 1:5] = 60
    return model(input_ids=ids, pixel_values=torch.randn(2, 3, 16, 16, generator=generator)).logits


MODELS = {"bart": (bart, bart_logits), "llava": (llava, llava_logits)}
PARTS = {
    "vision": ("model.vision_tower",),
    "projector": ("model.multi_modal_projector",),
    "language": ("model.language_model", "lm_head"),
}
LAYERS = {"layers": ["q_proj", "v_proj"]}
MIXED = {
    "method": "dora",
    **LAYERS,
    "rank": 4,
    "alpha": 8,
    "also": {
        "mlp": {"method": "magnitude", "layers": ["fc1"]},
        "out": {"method": "lora", "layers": ["out_proj"], "rank": 2, "alpha": 6},
        "last": {"method": "full", "layers": [r"model\.decoder\.layers\.0\.fc2"]},
    },
    "biases": True,
    "layer_norms": True,
}
SELECTIONS = {
    "bart, LoRA": ("bart", {"network": {"method": "lora", **LAYERS, "rank": 4, "alpha": 8}}, None),
    "bart, DoRA": ("bart", {"network": {"method": "dora", **LAYERS, "rank": 4, "alpha": 8}}, None),
    "bart, magnitude": ("bart", {"network": {"method": "magnitude", **LAYERS}}, None),
    "bart, everything": ("bart", {"network": MIXED}, None),
    "bart, tied table": (
        "bart",
        {
            "network": {
                "method": "lora",
                "rank": 2,
                **LAYERS,
                "also": {"t": {"method": "full", "layers": ["shared"]}},
            }
        },
        None,
    ),
    "llava": (
        "llava",
        {
            "projector": "full",
            "language": {"method": "dora", **LAYERS, "rank": 4, "alpha": 8, "layer_norms": False},
        },
        PARTS,
    ),
}


def moved(network: nn.Module, seed: int = 3) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("case", SELECTIONS)
def test_peft_reads_our_directory_and_gives_our_logits(case, tmp_path):
    name, selection, parts = SELECTIONS[case]
    make, logits = MODELS[name]
    network = make()
    plain = logits(network).detach()
    apply_adapters(network, selection, parts=parts)
    moved(network)
    save_adapter(network, tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(make(), tmp_path / "adapter").eval()
    ours = logits(network)
    assert (ours - plain).abs().max() > 0.1
    torch.testing.assert_close(ours, logits(theirs), **CLOSE)


@pytest.mark.parametrize("case", SELECTIONS)
def test_our_directory_loads_back_bit_for_bit(case, tmp_path):
    name, selection, parts = SELECTIONS[case]
    make, logits = MODELS[name]
    network = make()
    audit = apply_adapters(network, selection, parts=parts, default_lr=None)
    moved(network)
    save_adapter(network, tmp_path / "adapter")
    fresh = make()
    assert load_adapter(fresh, tmp_path / "adapter") == audit
    assert torch.equal(logits(fresh), logits(network))


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_peft(name, dora):
    make, logits = MODELS[name]
    base = make()
    targets = ["q_proj", "v_proj"]
    config = peft.LoraConfig(r=4, lora_alpha=8, use_dora=dora, target_modules=targets)
    theirs = peft.get_peft_model(copy.deepcopy(base), config).eval()
    network = base
    method = "dora" if dora else "lora"
    apply_adapters(network, {"network": {"method": method, "layers": targets, "rank": 4, "alpha": 8}})
    moved(network)
    other = dict(theirs.base_model.model.named_modules())
    pairs = []
    for path, layer in adapted_layers(network).items():
        twin = other[path]
        pairs += [
            (layer.lora_a, twin.lora_A["default"].weight),
            (layer.lora_b, twin.lora_B["default"].weight),
        ]
        if dora:
            pairs.append((layer.magnitude, twin.lora_magnitude_vector["default"].weight))
    with torch.no_grad():
        for mine, their in pairs:
            their.copy_(mine)
    ours, expected = logits(network), logits(theirs)
    torch.testing.assert_close(ours, expected, **CLOSE)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, their in pairs:
        if their.grad is None:  # the last CLIP layer, which vision_feature_layer=-2 leaves out
            assert mine.grad is None
        else:
            assert (mine.grad - their.grad).norm() <= 1e-5 * their.grad.norm()


def written_by_peft(name: str, directory, **options) -> torch.Tensor:
    make, logits = MODELS[name]
    theirs = peft.get_peft_model(make(), peft.LoraConfig(**options))
    moved(theirs)
    theirs.eval().save_pretrained(directory)
    return logits(theirs).detach()


PEFT_OPTIONS = {
    "LoRA": ("bart", {"r": 4, "target_modules": ["q_proj", "v_proj"]}),
    "DoRA": ("bart", {"r": 4, "use_dora": True, "target_modules": ["fc1", "q_proj"], "lora_dropout": 0.1}),
    "patterns": (
        "bart",
        {
            "r": 4,
            "lora_alpha": 2,
            "use_dora": True,
            "target_modules": ["q_proj", "fc2"],
            "rank_pattern": {"fc2": 2},
            "alpha_pattern": {r"^model.decoder.layers.0.fc2": 5},
        },
    ),
    "whole modules": (
        "bart",
        {"r": 4, "use_dora": True, "target_modules": ["v_proj"], "modules_to_save": ["layernorm_embedding"]},
    ),
    "biases": ("bart", {"r": 4, "target_modules": ["v_proj"], "bias": "all"}),
    "regex": (
        "llava",
        {
            "r": 4,
            "use_dora": True,
            "target_modules": r"model\.language_model\..*\.(q_proj|v_proj)",
            "modules_to_save": ["multi_modal_projector"],
        },
    ),
}


@pytest.mark.parametrize("case", PEFT_OPTIONS)
def test_a_directory_of_peft_loads_here_and_saves_back_with_equal_tensors(case, tmp_path):
    name, options = PEFT_OPTIONS[case]
    make, logits = MODELS[name]
    expected = written_by_peft(name, tmp_path / "theirs", **options)
    network = make()
    load_adapter(network, tmp_path / "theirs")
    torch.testing.assert_close(logits(network), expected, **CLOSE)
    save_adapter(network, tmp_path / "ours")
    theirs, ours = (load_file(tmp_path / who / FILES[1]) for who in ("theirs", "ours"))
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    again = peft.PeftModel.from_pretrained(make(), tmp_path / "ours").eval()
    torch.testing.assert_close(logits(again), expected, **CLOSE)


@pytest.mark.parametrize(
    ("option", "value"),
    [("peft_type", "IA3"), ("bias", "lora_only"), ("init_lora_weights", "pissa")],
)
def test_options_with_another_meaning_are_refused(option, value, tmp_path):
    written_by_peft("bart", tmp_path, r=4, target_modules=["q_proj"])
    config = json.loads((tmp_path / FILES[0]).read_text())
    (tmp_path / FILES[0]).write_text(json.dumps({**config, option: value}))
    with pytest.raises(ValueError, match=f"{option}='?{value}'? cannot be read here; allowed"):
        load_adapter(bart(), tmp_path)


def test_targets_that_the_tensors_do_not_cover_are_refused(tmp_path):
    written_by_peft("bart", tmp_path, r=4, target_modules=["q_proj"])
    config = json.loads((tmp_path / FILES[0]).read_text())
    (tmp_path / FILES[0]).write_text(json.dumps({**config, "target_modules": ["q_proj", "fc1"]}))
    with pytest.raises(ValueError, match="disagree about model.encoder.layers.0.fc1"):
        load_adapter(bart(), tmp_path)


def test_an_adapter_of_another_network_is_refused(tmp_path):
    written_by_peft("llava", tmp_path, r=4, target_modules=r"model\.language_model\..*\.q_proj")
    network = bart()
    with pytest.raises(ValueError, match="another network.*is no nn.Linear .* of this BartFor"):
        load_adapter(network, tmp_path)
    assert not adapted_layers(network)
