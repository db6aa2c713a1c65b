"""Bases: what is written is what is read, and what does not fit is refused."""

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from vl_dora.models.base import added_tokens, load_base, load_tokenizer, save_base
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.models.vision import TimmTower, TinyTower
from vl_dora.models.vl_bart import VLBart

SMALL = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 32,
}


def small(tokenizer, vision=None, **text) -> VLBart:
    return VLBart({"vocab_size": len(tokenizer), **SMALL, **text}, feature_dim=128, vision=vision)


@pytest.fixture
def tokenizer():
    return build_tokenizer(["how many red circles are there?", "two"])


def test_known_words_are_single_tokens_and_unknown_ones_are_spelled(tokenizer):
    known, unknown = tokenizer.tokenize("How many RED circles?"), tokenizer.tokenize("zebra's")
    assert known == ["how", "many", "red", "circles", "?"]
    assert tokenizer.unk_token not in unknown
    assert tokenizer.decode(tokenizer("zebra and red").input_ids, skip_special_tokens=True) == "zebra and red"


def test_text_is_framed_as_bart_frames_it(tokenizer):
    ids = tokenizer("red").input_ids
    assert (ids[0], ids[-1], tokenizer.pad_token_id) == (0, 2, 1)


def test_added_tokens_end_with_the_first_visual_one(tokenizer):
    assert added_tokens()[0] == "<extra_id_99>" and len(added_tokens()) == 200
    assert tokenizer.convert_tokens_to_ids("<vis_extra_id_0>") == len(tokenizer) - 1


def test_base_loads_as_it_was_saved(tokenizer, tmp_path):
    torch.manual_seed(0)
    first, second = small(tokenizer, TinyTower()), small(tokenizer, TinyTower())
    save_base(first, tokenizer, tmp_path / "base", {"network": {}})
    load_base(second, str(tmp_path / "base"))
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert load_tokenizer(str(tmp_path / "base")).get_vocab() == tokenizer.get_vocab()


def test_whoever_may_read_a_bases_facts_may_read_its_weights(tokenizer, tmp_path):
    save_base(small(tokenizer), tokenizer, tmp_path / "base", {})
    modes = [(tmp_path / "base" / name).stat().st_mode for name in ("network.json", "model.safetensors")]
    assert modes[0] == modes[1]


def test_network_without_a_tower_leaves_the_towers_weights_out(tokenizer, tmp_path):
    first, second = small(tokenizer, TinyTower()), small(tokenizer)
    save_base(first, tokenizer, tmp_path / "base", {})
    load_base(second, str(tmp_path / "base"))
    assert torch.equal(first.bart.model.shared.weight, second.bart.model.shared.weight)


def test_base_of_another_shape_is_refused(tokenizer, tmp_path):
    save_base(small(tokenizer), tokenizer, tmp_path / "base", {})
    with pytest.raises(ValueError, match="left over|missing|another shape"):
        load_base(small(tokenizer, encoder_ffn_dim=64), str(tmp_path / "base"))
    with pytest.raises(ValueError, match="missing"):
        load_base(small(tokenizer, decoder_layers=2), str(tmp_path / "base"))


def test_plain_bart_directory_fills_the_language_part(tokenizer, tmp_path):
    torch.manual_seed(0)
    bart = BartForConditionalGeneration(BartConfig(vocab_size=len(tokenizer) - 200, **SMALL))
    bart.save_pretrained(tmp_path)
    network = small(tokenizer)
    added = network.bart.model.shared.weight[-200:].clone()
    load_base(network, str(tmp_path))
    assert torch.equal(network.bart.model.shared.weight[:-200], bart.model.shared.weight)
    assert torch.equal(network.bart.model.shared.weight[-200:], added)
    for name, tensor in bart.model.encoder.layers.state_dict().items():
        assert torch.equal(network.bart.model.encoder.layers.state_dict()[name], tensor), name
    assert network.bart.lm_head.weight is network.bart.model.shared.weight


def test_missing_bases_say_what_to_do(tokenizer, monkeypatch):
    with pytest.raises(ValueError, match="neither a shipped base"):
        load_base(small(tokenizer), "tiny_scenez")
    with pytest.raises(ValueError, match="download it once"):
        load_base(small(tokenizer), "facebook/no-such-bart")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("resnet101_clip.openai", (49, 2048)), ("vit_base_patch32_clip_224.openai", (49, 768))],
)
def test_clip_towers_give_their_grids(name, shape):
    with torch.device("meta"):
        tower = TimmTower(name).eval()
        tower.mean, tower.std = tower.mean.to("meta"), tower.std.to("meta")
        features = tower(torch.zeros(1, 3, 224, 224, dtype=torch.uint8))
    assert tuple(features.shape[1:]) == shape
    assert tower.image_size == 224


def test_unknown_towers_and_weights_are_refused():
    with pytest.raises(ValueError, match="not a timm model"):
        TimmTower("resnet101_clipp")
    with pytest.raises(ValueError, match="local file"):
        TimmTower("resnet18", weights="nowhere.pth")
