"""Directories of the LLM and the LLaVA fork, made here in their formats, against the written equation."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vl_dora.adapters import adaptation_of, adapted_layers, import_adapter, load_adapter, save_adapter

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*:UserWarning")

RANK, ALPHA = 4, 8
TEXT = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,  # so that v_proj is not square
    "initializer_range": 0.3,
}


def llama() -> nn.Module:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT)).eval()


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
    text = transformers.LlamaConfig(**TEXT)
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=60)
    return transformers.LlavaForConditionalGeneration(config).eval()


def llama_logits(network):
    ids = torch.arange(18).reshape(2, 9) + 4
    return network(input_ids=ids).logits


def llava_logits(network):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 59, (2, 9), generator=generator)
    ids[:, 1:5] = 60
    return network(input_ids=ids, pixel_values=torch.randn(2, 3, 16, 16, generator=generator)).logits


@torch.no_grad()
def trained(network, targets, magnitude_only=()):
    """Writes W' = m (W + s B A) / |W + s B A|, s = alpha / r, into `network`; path -> lora_A, lora_B, m."""
    generator = torch.Generator().manual_seed(3)
    found = {}
    for path, module in network.named_modules():
        leaf = path.rpartition(".")[2]
        if not isinstance(module, nn.Linear) or "vision" in path or leaf not in (*targets, *magnitude_only):
            continue
        rows, columns = module.weight.shape
        m = module.weight.norm(dim=1, keepdim=True) * (1.3 + 0.2 * torch.randn(rows, 1, generator=generator))
        own = {"m": m}
        v = module.weight.double()
        if leaf in targets:
            own["lora_A"] = 0.3 * torch.randn(RANK, columns, generator=generator)
            own["lora_B"] = 0.3 * torch.randn(rows, RANK, generator=generator)
            v = v + ALPHA / RANK * own["lora_B"].double() @ own["lora_A"].double()
        module.weight.copy_(m.double() * v / v.norm(dim=1, keepdim=True))
        found[path] = own
    return found


CONFIG = {"peft_type": "DORA", "r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.05, "bias": "none"}


def write_llm(folder, layers, **config):
    tensors = {}
    for path, own in layers.items():
        tensors[f"base_model.model.{path}.weight_m_wdecomp.weight"] = own["m"]
        for kind in ("lora_A", "lora_B"):
            if kind in own:
                tensors[f"base_model.model.{path}.{kind}.weight"] = own[kind]
    folder.mkdir(exist_ok=True)
    torch.save(tensors, folder / "adapter_model.bin")
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, "dora_simple": True, **config}))
    return tensors


def llava_name(path):
    """A module's name in LLaVA's own code."""
    path = path.replace("model.language_model.", "model.")
    path = path.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
    return path.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")


def write_llava(folder, layers, network):
    folder.mkdir(exist_ok=True)
    start = "base_model.model."
    adapter, beside = {}, {}
    for path, own in layers.items():
        for kind in ("lora_A", "lora_B"):
            adapter[f"{start}{llava_name(path)}.{kind}.weight"] = own[kind]
        beside[f"{start}{llava_name(path)}.weight_m_wdecomp.default.weight"] = own["m"]
    for name, value in network.named_parameters():
        if "multi_modal_projector" in name:
            beside[start + llava_name(name)] = value.detach().clone()
    torch.save(adapter, folder / "adapter_model.bin")
    torch.save(beside, folder / "non_lora_trainables.bin")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    return adapter, beside


@pytest.mark.parametrize(("simple", "gradient"), [(True, "detached"), (False, "full")])
def test_the_llm_fork_with_magnitude_only_layers(simple, gradient, tmp_path):
    changed = llama()
    layers = trained(changed, ["q_proj", "k_proj", "v_proj"], ["o_proj", "up_proj"])
    write_llm(tmp_path, layers, dora_simple=simple)
    network = llama()
    import_adapter(network, tmp_path)
    torch.testing.assert_close(llama_logits(network), llama_logits(changed), atol=1e-5, rtol=1e-4)
    found = adapted_layers(network)
    assert {path: layer.method for path, layer in found.items()} == {
        path: "dora" if "lora_A" in own else "magnitude" for path, own in layers.items()
    }
    assert all(torch.equal(found[path].magnitude, own["m"][:, 0]) for path, own in layers.items())
    rule = adaptation_of(network).selection["network"]
    assert (rule.norm_gradient, rule.dropout_mode, rule.dropout) == (gradient, "reference", 0.05)


def test_an_adapter_of_the_llm_fork_finds_the_decoder_inside_a_llava(tmp_path):
    changed = llama()
    layers = trained(changed, ["q_proj", "v_proj"])
    write_llm(tmp_path, layers)
    network = llava()
    import_adapter(network, tmp_path)
    paths = {path.replace("model.language_model.", "model.") for path in adapted_layers(network)}
    assert paths == set(layers)


def test_the_llava_fork_keeps_magnitudes_and_projector_that_it_loses_itself(tmp_path):
    changed = llava()
    layers = trained(changed, ["q_proj", "v_proj", "down_proj"])
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if "multi_modal_projector" in name:
                parameter.mul_(1.3)
    write_llava(tmp_path, layers, changed)
    network = llava()
    audit = import_adapter(network, tmp_path)
    torch.testing.assert_close(llava_logits(network), llava_logits(changed), atol=1e-5, rtol=1e-4)
    found = adapted_layers(network)
    assert set(found) == set(layers)
    assert all(torch.equal(found[path].magnitude, own["m"][:, 0]) for path, own in layers.items())
    assert {row.method for row in audit.rows if row.trainable} == {"dora", "full"}


def spoil_llm(folder, edit):
    tensors = torch.load(folder / "adapter_model.bin", weights_only=True)
    edit(tensors)
    torch.save(tensors, folder / "adapter_model.bin")


M = "base_model.model.model.layers.1.self_attn.v_proj.weight_m_wdecomp.weight"
FAULTS = {
    "other axis": (lambda t: t.update({M: torch.ones(1, 16)}), r"shape \(1, 16\).*other axis"),
    "no B": (lambda t: t.pop(M.replace("weight_m_wdecomp", "lora_B")), "v_proj lacks lora_B.weight"),
    "no m": (lambda t: t.pop(M), "v_proj lacks weight_m_wdecomp.weight"),
    "left over": (
        lambda t: t.update({"base_model.model.lm_head.bias": torch.ones(2)}),
        "does not have: base",
    ),
    "other network": (
        lambda t: t.update({M.replace("layers.1", "layers.9"): torch.ones(8, 1)}),
        "is of another network: model.layers.9.self_attn.v_proj",
    ),
    "outside": (lambda t: t.update({"../../x.lora_A.weight": torch.ones(2, 2)}), "does not have: ../../x"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_spoiled_directory_is_refused_and_changes_nothing(fault, tmp_path):
    write_llm(tmp_path, trained(llama(), ["q_proj", "v_proj"]))
    edit, words = FAULTS[fault]
    spoil_llm(tmp_path, edit)
    network = llama()
    with pytest.raises(ValueError, match=words):
        import_adapter(network, tmp_path)
    assert not adapted_layers(network)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), llama().parameters(), strict=True))


@pytest.mark.parametrize("alpha", [None, "16", 0, True])
def test_a_config_without_a_usable_alpha_is_refused(alpha, tmp_path):
    write_llm(tmp_path, trained(llama(), ["q_proj"]), lora_alpha=alpha)
    with pytest.raises(ValueError, match="must say lora_alpha as a number above 0"):
        import_adapter(llama(), tmp_path)


def test_a_llava_fork_directory_without_its_second_file_is_refused(tmp_path):
    changed = llava()
    write_llava(tmp_path, trained(changed, ["q_proj"]), changed)
    (tmp_path / "non_lora_trainables.bin").unlink()
    with pytest.raises(ValueError, match=r"holds no magnitudes.*non_lora_trainables.bin"):
        import_adapter(llava(), tmp_path)


def test_a_llava_fork_layer_without_its_magnitude_is_refused(tmp_path):
    changed = llava()
    _, beside = write_llava(tmp_path, trained(changed, ["q_proj"]), changed)
    key = next(key for key in beside if "wdecomp" in key)
    torch.save({k: v for k, v in beside.items() if k != key}, tmp_path / "non_lora_trainables.bin")
    with pytest.raises(ValueError, match="q_proj lacks weight_m_wdecomp.weight"):
        import_adapter(llava(), tmp_path)


def write_llava_lora(folder, **config):
    """LoRA by PEFT, under the names of LLaVA's code, the projector beside it; returns the trained logits."""
    peft = pytest.importorskip("peft", reason="PEFT writes the adapter here")
    options = {
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": r".*language_model.*(q_proj|down_proj)",
        **config,
    }
    theirs = peft.get_peft_model(llava(), peft.LoraConfig(**options)).eval()
    generator = torch.Generator().manual_seed(3)
    beside = {}
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name or "multi_modal_projector" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
            if "multi_modal_projector" in name:
                beside[llava_name(name)] = parameter.detach().clone()
    theirs.save_pretrained(folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    torch.save({llava_name(key): tensor for key, tensor in tensors.items()}, folder / "adapter_model.bin")
    torch.save(beside, folder / "non_lora_trainables.bin")
    return llava_logits(theirs).detach()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("rslora", [False, True])
def test_lora_of_llavas_own_code_brings_its_projector(rslora, tmp_path):
    expected = write_llava_lora(tmp_path, use_rslora=rslora)
    network = llava()
    audit = import_adapter(network, tmp_path)
    torch.testing.assert_close(llava_logits(network), expected, atol=1e-5, rtol=1e-4)
    assert {row.method for row in audit.rows if row.trainable} == {"lora", "full"}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_a_second_file_that_is_not_understood_is_never_left_out_in_silence(tmp_path):
    write_llava_lora(tmp_path)
    torch.save({"base_model.model.model.norm.weight": torch.ones(16)}, tmp_path / "non_lora_trainables.bin")
    with pytest.raises(
        ValueError, match=r"non_lora_trainables\.bin, whose tensors are of no known format: base"
    ):
        import_adapter(llava(), tmp_path)


def test_every_format_finds_the_llava_inside_a_network_that_names_it(tmp_path, tiny_llava):
    """`adapter_root` is where the transformers model lies; files know nothing of what is around it."""
    network, changed = tiny_llava(), tiny_llava()
    layers = trained(changed.llava, ["q_proj", "v_proj", "down_proj"])
    with torch.no_grad():
        for parameter in changed.llava.model.multi_modal_projector.parameters():
            parameter.mul_(1.3)
    write_llava(tmp_path / "fork", layers, changed.llava)
    audit = import_adapter(network, tmp_path / "fork")
    assert set(adapted_layers(network)) == {f"llava.{path}" for path in layers}
    assert {row.part for row in audit.rows if row.trainable} == {"projector", "language"}
    ids = torch.arange(18).reshape(2, 9) + 4
    torch.testing.assert_close(network.llava(ids).logits, changed.llava(ids).logits, atol=1e-5, rtol=1e-4)
    save_adapter(network, tmp_path / "saved")
    again = tiny_llava()
    load_adapter(again, tmp_path / "saved")
    torch.testing.assert_close(again.llava(ids).logits, changed.llava(ids).logits, atol=1e-5, rtol=1e-4)
    # Directories of before, which named modules from the network's own root.
    file = tmp_path / "saved" / "adapter_model.safetensors"
    tensors = {
        k.replace("base_model.model.", "base_model.model.llava."): v for k, v in load_file(file).items()
    }
    save_file(tensors, tmp_path / "saved" / "new", metadata={"format": "pt"})
    (tmp_path / "saved" / "new").replace(file)
    older = tiny_llava()
    load_adapter(older, tmp_path / "saved")
    torch.testing.assert_close(older.llava(ids).logits, changed.llava(ids).logits, atol=1e-5, rtol=1e-4)
