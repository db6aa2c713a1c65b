"""Checkpoints of transformers' LLaVA as starting weights, every key accounted for."""

import pytest
import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

from vl_dora.models.base import save_base
from vl_dora.models.llava_base import load_base, load_tokenizer
from vl_dora.models.tiny_tokenizer import build_tokenizer


@pytest.fixture
def checkpoint(tiny_llava, tmp_path):
    """A llava-hf directory: the same network with 64 further words, as llava-hf pads the vocabulary."""
    config = tiny_llava().llava.config.to_dict()
    config["text_config"]["vocab_size"] += 64
    torch.manual_seed(7)
    model = LlavaForConditionalGeneration(LlavaConfig(**config))
    model.save_pretrained(tmp_path / "hf")
    return model, tmp_path / "hf"


def test_a_llava_hf_checkpoint_fills_everything_but_its_further_words(checkpoint, tiny_llava):
    model, folder = checkpoint
    network = tiny_llava()
    load_base(network, str(folder))
    stored = model.state_dict()
    for name, tensor in network.llava.state_dict().items():
        torch.testing.assert_close(tensor, stored[name][: len(tensor)] if tensor.ndim else stored[name])


def test_a_checkpoint_of_another_shape_is_refused(checkpoint, tiny_llava):
    from vl_dora.models.llava import Llava

    config = tiny_llava().llava.config
    vision, text = config.vision_config.to_dict(), config.text_config.to_dict()
    with pytest.raises(ValueError, match="does not fit model.network: .* weights missing"):
        load_base(Llava(vision, {**text, "num_hidden_layers": 3}), str(checkpoint[1]))


def test_a_base_of_our_own_comes_back_with_its_tokenizer(tiny_llava, tmp_path):
    network, tokenizer = tiny_llava(seed=5), build_tokenizer(["two red circles"])
    save_base(network, tokenizer, tmp_path / "base", {})
    other = tiny_llava(seed=6)
    load_base(other, str(tmp_path / "base"))
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert load_tokenizer(str(tmp_path / "base")).get_vocab() == tokenizer.get_vocab()


def test_a_base_that_is_nowhere_is_named(tiny_llava):
    with pytest.raises(ValueError, match=r"model\.base=\./nowhere is neither a shipped base"):
        load_base(tiny_llava(), "./nowhere")
