"""Checkpoints of transformers' LLaVA as starting weights, every key accounted for."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, LlavaConfig, LlavaForConditionalGeneration

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
    with pytest.raises(ValueError, match=r"num_hidden_layers 2 where the network has 3; set model\.network"):
        load_base(Llava(vision, {**text, "num_hidden_layers": 3}), str(checkpoint[1]))
    small = Llava(vision, {**text, "vocab_size": 200})
    with pytest.raises(ValueError, match=r"does not fit model\.network: .* 2 of another shape .*lm_head"):
        load_base(small, str(checkpoint[1]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"rms_norm_eps": 1e-3},
            r"text\.rms_norm_eps 1e-06 where the network has 0\.001; set model\.network",
        ),
        ({"num_attention_heads": 4, "head_dim": 6}, r"text\.num_attention_heads 2 where the network has 4"),
        ({"rope_theta": 500.0}, r"text\.rope_parameters .*10000\.0.* where the network has .*500\.0"),
    ],
)
def test_numbers_that_no_shape_tells_are_compared(change, words, checkpoint, tiny_llava):
    from vl_dora.models.llava import Llava

    config = tiny_llava().llava.config
    text = {k: v for k, v in config.text_config.to_dict().items() if k != "rope_parameters"}
    with pytest.raises(ValueError, match=words):
        load_base(Llava(config.vision_config.to_dict(), {**text, **change}), str(checkpoint[1]))
    with pytest.raises(ValueError, match=r"vision_feature_layer -2 where the network has -1; set model"):
        load_base(tiny_llava(vision_feature_layer=-1), str(checkpoint[1]))


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("extra", [False, True])
def test_a_checkpoint_with_a_weight_too_few_or_too_many_is_refused(extra, checkpoint, tiny_llava):
    file = checkpoint[1] / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("layers.1.mlp.up_proj.weight"))
    tensor = tensors[name].clone() if extra else tensors.pop(name)
    save_file({**tensors, **({f"{name}2": tensor} if extra else {})}, file, metadata={"format": "pt"})
    words = "0 weights missing .* 1 left over" if extra else "1 weights missing .*layers.1.mlp.up_proj.weight"
    with pytest.raises(ValueError, match=f"is no whole LlavaForConditionalGeneration: {words}"):
        load_base(tiny_llava(), str(checkpoint[1]))


def test_names_of_older_and_of_todays_checkpoints_are_read(checkpoint, tiny_llava):
    """transformers 5 still writes the names of the weights on the hub, of before version 4.52."""
    model, folder = checkpoint
    named = model.state_dict()
    stored = load_file(folder / "model.safetensors")
    assert any(name.startswith("language_model.model.") for name in stored) and stored.keys() != named.keys()
    for tensors in (stored, named):
        save_file(tensors, folder / "new", metadata={"format": "pt"})
        (folder / "new").replace(folder / "model.safetensors")
        network = tiny_llava()
        load_base(network, str(folder))
        for name, tensor in network.llava.state_dict().items():
            assert torch.equal(tensor, named[name][: len(tensor)]), name


def test_a_network_of_another_kind_is_named(tiny_llava, tmp_path):
    LlamaForCausalLM(tiny_llava().llava.config.text_config).save_pretrained(tmp_path / "llama")
    with pytest.raises(
        ValueError, match=r"holds a model of type 'llama', not a LLaVA; .*llava_1_5_7b_vicuna"
    ):
        load_base(tiny_llava(), str(tmp_path / "llama"))


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
