"""Numbers of trainable parameters behind the published percentages, exact, on the meta device.

The papers and repositories print percentages (DoRA, arXiv:2402.09353, tables 1 to 4 and its scripts);
the whole numbers follow from the architectures and are stronger. LLaVA's LoRA and Alpaca's rows
were printed cut off after two digits, all others rounded.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from vl_dora.adapters import adaptation_of, adapted_layers, apply_adapters

transformers = pytest.importorskip("transformers")

LLAMA: dict[str, dict[str, int]] = {
    "LLaMA-7B": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "LLaMA-13B": {
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
    },
    "LLaMA3-8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
}
BASE = {"LLaMA-7B": 6_738_415_616, "LLaMA-13B": 13_015_864_320, "LLaMA3-8B": 8_030_261_248}

COMMONSENSE = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
EVERY = [*COMMONSENSE, "o_proj", "gate_proj"]


def rule(method: str, rank: int, layers: list[str] = COMMONSENSE) -> dict[str, Any]:
    return {"network": {"method": method, "layers": layers, "rank": rank}}


MIXED = {
    "network": {
        "method": "dora",
        "layers": ["q_proj", "k_proj", "v_proj"],
        "rank": 32,
        "also": {
            "rest": {"method": "magnitude", "layers": ["o_proj", "gate_proj", "up_proj", "down_proj"]},
        },
    }
}

# Model, selection, trainable numbers, percentage as printed (None: never printed), and how it was shortened.
ROWS = {
    "LoRA, r 32": ("LLaMA-7B", rule("lora", 32), 56_098_816, 0.83, round),
    "DoRA, r 4": ("LLaMA-7B", rule("dora", 4), 7_888_896, None, round),
    "DoRA, r 8": ("LLaMA-7B", rule("dora", 8), 14_901_248, None, round),
    "DoRA, r 16": ("LLaMA-7B", rule("dora", 16), 28_925_952, 0.43, round),
    "DoRA, r 32": ("LLaMA-7B", rule("dora", 32), 56_975_360, 0.84, round),
    "DoRA, r 64": ("LLaMA-7B", rule("dora", 64), 113_074_176, None, round),
    "DoRA on q, k, v, magnitudes elsewhere": ("LLaMA-7B", MIXED, 26_525_696, 0.39, round),
    "13B, LoRA, r 32": ("LLaMA-13B", rule("lora", 32), 87_818_240, 0.67, round),
    "13B, DoRA, r 16": ("LLaMA-13B", rule("dora", 16), 45_281_280, 0.35, round),
    "13B, DoRA, r 32": ("LLaMA-13B", rule("dora", 32), 89_190_400, 0.68, round),
    "LLaMA3, LoRA, r 32": ("LLaMA3-8B", rule("lora", 32), 56_623_104, 0.70, round),
    "LLaMA3, DoRA, r 32": ("LLaMA3-8B", rule("dora", 32), 57_409_536, 0.71, round),
    "Alpaca, LoRA": ("LLaMA-7B", rule("lora", 64, EVERY), 159_907_840, 2.31, math.floor),
    "Alpaca, DoRA": ("LLaMA-7B", rule("dora", 64, EVERY), 161_267_712, 2.33, math.floor),
    "VeRA, r 1024": ("LLaMA-7B", rule("vera", 1024, EVERY), 1_589_248, 0.02, round),
    "DVoRA, r 1024": ("LLaMA-7B", rule("dvora", 1024, EVERY), 2_949_120, 0.04, round),
    "VeRA, r 256": ("LLaMA-7B", rule("vera", 256, EVERY), 1_417_216, 0.02, round),
    "DVoRA, r 256": ("LLaMA-7B", rule("dvora", 256, EVERY), 2_777_088, 0.04, round),
}


@cache
def llama(name: str) -> nn.Module:
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA[name]))


@pytest.fixture
def plain():
    """Lends a model by name, and takes its adapters out again: making one takes seconds."""
    lent = []

    def lend(name: str) -> nn.Module:
        lent.append(llama(name))
        return lent[-1]

    yield lend
    for model in lent:
        for path, layer in adapted_layers(model).items():
            owner, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(owner), leaf, layer.base)
        del model.adaptation


def percentage(trainable: int, total: int, shortened: Any) -> float:
    return shortened(10_000 * trainable / total) / 100


@pytest.mark.parametrize("case", ROWS)
def test_counts_of_language_models(case, plain):
    name, selection, trainable, published, shortened = ROWS[case]
    model = plain(name)
    audit = apply_adapters(model, selection)
    assert adaptation_of(model).audit is audit
    added = sum(
        p.numel() for layer in adapted_layers(model).values() for p in layer.parameters(recurse=False)
    )
    assert (audit.trainable, audit.total - added) == (trainable, BASE[name])
    assert added == trainable
    if published is not None:
        assert percentage(audit.trainable, audit.total, shortened) == published


PARTS = {
    "vision": ("model.vision_tower",),
    "projector": ("model.multi_modal_projector",),
    "language": ("model.language_model", "lm_head"),
}
LLAVA = {
    "lora": (340_795_392, 7_382_718_464, 4.61, math.floor),
    "dora": (342_155_264, 7_384_078_336, 4.63, round),
}


@pytest.mark.parametrize("method", LLAVA)
def test_counts_of_llava(method):
    vision = transformers.CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    text = transformers.LlamaConfig(**LLAMA["LLaMA-7B"])
    with torch.device("meta"):
        model = transformers.LlavaForConditionalGeneration(
            transformers.LlavaConfig(vision_config=vision, text_config=text)
        )
    audit = apply_adapters(
        model,
        {"projector": "full", "language": rule(method, 128, EVERY)["network"]},
        parts=PARTS,
    )
    trainable, total, published, shortened = LLAVA[method]
    assert (audit.trainable, audit.total) == (trainable, total)
    assert audit.parts["vision"].trainable == 0
    assert percentage(trainable, total, shortened) == published


@pytest.mark.slow
@pytest.mark.parametrize("method", LLAVA)
def test_counts_of_llava_from_the_shipped_configs(method):
    hydra = pytest.importorskip("hydra")
    from vl_dora.plan import audit_of

    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        config = hydra.compose("plan", ["model=llava_1_5_7b", f"adapter=llava_{method}"])
    audit = audit_of(config)
    assert (audit.trainable, audit.total) == LLAVA[method][:2]
