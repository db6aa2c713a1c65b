"""Folders in the layout of LLaVA's own code, written here by its rules, against transformers' network."""

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPVisionModel, LlavaForConditionalGeneration

from vl_dora.models.llava_base import load_base

# As LLaVA's code names its modules: the tower is wrapped twice, the projector an nn.Sequential.
NAMES = [
    ("model.vision_tower.", "model.vision_tower.vision_tower.vision_model."),
    ("model.multi_modal_projector.linear_1.", "model.mm_projector.0."),
    ("model.multi_modal_projector.linear_2.", "model.mm_projector.2."),
    ("model.language_model.", "model."),
]
FIELDS = {
    "architectures": ["LlavaLlamaForCausalLM"],
    "model_type": "llava_llama",
    "mm_hidden_size": 16,
    "mm_projector_type": "mlp2x_gelu",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "image_aspect_ratio": "pad",
    "use_mm_proj": True,
}


def their_name(name: str) -> str:
    return next((then + name[len(now) :] for now, then in NAMES if name.startswith(now)), name)


@pytest.fixture
def original(tiny_llava, tmp_path):
    """write(shards=, kind=, tower=, **fields) -> (transformers' model, the folder)."""
    config = tiny_llava().llava.config

    def write(shards=1, kind="safetensors", tower=True, edit=lambda tensors: None, **fields):
        torch.manual_seed(11)
        model = LlavaForConditionalGeneration(config).eval()
        folder = tmp_path / "llava-v1.5"
        folder.mkdir()
        tensors = {their_name(n): t.clone() for n, t in model.state_dict().items()}
        if not tower:
            tensors = {n: t for n, t in tensors.items() if "vision_tower" not in n}
            CLIPVisionModel(config.vision_config).save_pretrained(tmp_path / "clip")
            twin = CLIPVisionModel.from_pretrained(tmp_path / "clip")
            model.model.vision_tower.load_state_dict(twin.state_dict())
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(6)
        edit(tensors)
        text = {k: v for k, v in config.text_config.to_dict().items() if k != "rope_parameters"}
        own = {"rope_theta": 10000.0, "mm_vision_tower": str(tmp_path / "clip"), **FIELDS, **fields}
        (folder / "config.json").write_text(json.dumps({**text, **own}))
        whole = "model.safetensors" if kind == "safetensors" else "pytorch_model.bin"
        save = save_file if kind == "safetensors" else torch.save
        if shards == 1:
            save(tensors, folder / whole)
        else:
            stem, suffix = whole.rsplit(".", 1)
            weight_map = {}
            for number in range(shards):
                name = f"{stem}-{number + 1:05d}-of-{shards:05d}.{suffix}"
                part = {k: tensors[k] for k in sorted(tensors)[number::shards]}
                save(part, folder / name)
                weight_map |= dict.fromkeys(part, name)
            (folder / f"{whole}.index.json").write_text(
                json.dumps({"metadata": {}, "weight_map": weight_map})
            )
        return model, folder

    return write


@pytest.mark.parametrize(("shards", "kind"), [(1, "safetensors"), (2, "bin"), (3, "safetensors")])
def test_it_computes_what_transformers_computes_with_the_same_weights(
    shards, kind, original, tiny_llava, conversation_batch
):
    model, folder = original(shards, kind)
    network = tiny_llava()
    load_base(network, str(folder))
    for name, tensor in network.llava.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    batch = conversation_batch([(1, [5, 6, 7], [8, 9, 2]), (1, [10], [12, 2])])
    model.config.image_token_id = 39
    values = batch.pixels[:, 0].float() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model_mean(), model_std()))
    expected = model(
        input_ids=batch.input_ids.masked_fill(batch.input_ids < 0, 39),
        attention_mask=batch.attention_mask.long(),
        pixel_values=(values - mean) / std,
        labels=batch.labels,
    )
    torch.testing.assert_close(network.loss(batch), expected.loss)


def model_mean():
    return [0.48145466, 0.4578275, 0.40821073]


def model_std():
    return [0.26862954, 0.26130258, 0.27577711]


def test_a_tower_that_is_left_out_is_read_from_where_the_config_says(original, tiny_llava):
    model, folder = original(tower=False)
    network = tiny_llava()
    load_base(network, str(folder))
    for name, tensor in network.llava.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_tower_that_is_nowhere_is_named_and_can_be_named_otherwise(original, tiny_llava, tmp_path):
    model, folder = original(tower=False, mm_vision_tower="openai/clip-vit-none")
    with pytest.raises(
        ValueError, match=r"openai/clip-vit-none could not be loaded \(HF_HUB_OFFLINE is set\)"
    ):
        load_base(tiny_llava(), str(folder))
    network = tiny_llava()
    load_base(network, str(folder), vision=str(tmp_path / "clip"))
    assert torch.equal(
        network.llava.model.vision_tower.post_layernorm.weight,
        model.model.vision_tower.post_layernorm.weight,
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"mm_projector_type": "linear"},
            "mm_projector_type='linear' in its config.json, where .* 'mlp2x_gelu'",
        ),
        (
            {"mm_vision_select_layer": -1},
            "mm_vision_select_layer=-1 .*set model.network.vision_feature_layer",
        ),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end=True"),
        ({"image_aspect_ratio": "anyres"}, "cuts pictures into tiles"),
        ({"rms_norm_eps": 1e-2}, r"text\.rms_norm_eps 0\.01 where the network has 1e-06"),
        ({"rope_theta": 5.0}, r"text\.rope_parameters"),
    ],
)
def test_another_kind_of_llava_is_refused_by_its_config(fields, words, original, tiny_llava):
    _, folder = original(**fields)
    with pytest.raises(ValueError, match=words):
        load_base(tiny_llava(), str(folder))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.pop("model.mm_projector.2.bias"), r"1 weights missing \['model.multi_modal_projector"),
        (lambda t: t.update({"model.mm_projector.4.bias": torch.ones(2)}), "1 left over .*mm_projector.4"),
        (lambda t: t.update({"lm_head.weight": torch.ones(4, 24)}), "1 of another shape .*lm_head"),
    ],
)
def test_every_tensor_is_accounted_for_and_the_network_stays_as_it_was(edit, words, original, tiny_llava):
    _, folder = original(edit=edit)
    network = tiny_llava()
    with pytest.raises(ValueError, match=words):
        load_base(network, str(folder))
    for a, b in zip(network.parameters(), tiny_llava().parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_hub_id_in_this_layout_is_read_from_the_cache(original, tiny_llava, tmp_path, monkeypatch):
    from huggingface_hub import constants
    from transformers.utils import hub

    model, folder = original(2, "bin")
    commit = "0" * 40
    repository = tmp_path / "cache" / "models--someone--llava-v1.5"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    network = tiny_llava()
    load_base(network, "someone/llava-v1.5")
    for name, tensor in network.llava.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
