"""A LLaVA as a folder of transformers: its words, its pictures, its rows of the vocabulary."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, LlavaForConditionalGeneration

from data_modules.conversation_collate import ConversationCollate
from data_modules.visuals import load_picture
from vl_dora.batch import Example, ImageRef
from vl_dora.models.llava import Llava
from vl_dora.models.llava_base import load_base, load_tokenizer
from vl_dora.models.llava_folder import save_base
from vl_dora.models.tiny_tokenizer import build_tokenizer

FILL = (122, 116, 104)


@pytest.fixture
def network():
    torch.manual_seed(0)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    text = {
        "vocab_size": len(build_tokenizer(["is there a circle"], 1, ())),
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    return Llava(vision, text).eval()


def tokenizer_of(collate: ConversationCollate):
    tokenizer = collate.tokenizer
    tokenizer.chat_template = collate.chat_template()
    return tokenizer


@pytest.fixture
def collate():
    return ConversationCollate(build_tokenizer(["is there a circle"], 1, ()), visual_tokens=4)


def test_the_processor_writes_the_tokens_of_the_collate(network, collate, tmp_path):
    save_base(network, tokenizer_of(collate), tmp_path / "base", {"a": 1}, FILL)
    processor = AutoProcessor.from_pretrained(tmp_path / "base")
    image, pixels = Image.new("RGB", (32, 32)), np.zeros((3, 32, 32), np.uint8)
    turns = [("is it red?", "no"), ("a circle?", None)]
    for pictures in (0, 1, 2):
        front = "<image>" * pictures + "\n" * bool(pictures)
        asked = [(front + turns[0][0], turns[0][1]), *turns[1:]]
        refs = tuple(ImageRef(f"{n}.png") for n in range(pictures))
        example = Example("x", asked[-1][0], "", images=refs, turns=(asked[0],))
        (ours,) = collate.encode([collate.render(example, None, pictures)])
        for parts in (False, True):
            messages = []
            for number, (question, answer) in enumerate(asked if not parts else turns):
                content = question
                if parts:
                    shown = [{"type": "image", "image": image}] * (pictures if number == 0 else 0)
                    content = [*shown, {"type": "text", "text": question}]
                messages.append({"role": "user", "content": content})
                if answer is not None:
                    told = [{"type": "text", "text": answer}] if parts else answer
                    messages.append({"role": "assistant", "content": told})
            text = processor.apply_chat_template(messages, add_generation_prompt=True)
            inputs = processor(text=text, images=[image] * pictures or None, add_special_tokens=False)
            theirs = inputs["input_ids"][0]
            assert [-200 if i == processor.image_token_id else i for i in theirs] == ours.ids
    assert pixels.shape == (3, 32, 32)


@pytest.mark.parametrize("size", [(32, 32), (90, 40), (41, 77)])
@pytest.mark.parametrize("fill", [FILL, None])
def test_the_processor_makes_the_pictures_of_the_data_module(size, fill, network, collate, tmp_path):
    save_base(network, tokenizer_of(collate), tmp_path / "base", {}, fill)
    random = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(random).resize(size).save(tmp_path / "x.png")
    ours = load_picture(tmp_path, ImageRef("x.png"), 32, fill)
    processor = AutoProcessor.from_pretrained(tmp_path / "base").image_processor
    with Image.open(tmp_path / "x.png") as picture:
        theirs = processor(picture, return_tensors="pt")["pixel_values"][0]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (processor.image_mean, processor.image_std))
    levels = (theirs * std + mean) * 255
    assert theirs.shape == (3, 32, 32)
    # Of 255 levels; the two resize with different arithmetic.
    assert (levels - torch.from_numpy(ours)).abs().max() < (0.01 if size == (32, 32) else 2.0)


def test_another_colour_of_margins_than_transformers_has_is_said(network, collate, tmp_path, caplog):
    save_base(network, tokenizer_of(collate), tmp_path / "base", {}, (0, 0, 0))
    assert "square_fill=[0, 0, 0] is not the colour [122, 116, 104]" in caplog.text


@pytest.mark.parametrize("further", [(), ("<image>", "<more>")])
def test_further_words_have_rows_and_are_never_written(further, network, collate, tmp_path):
    tokenizer = tokenizer_of(collate)
    tokenizer.add_tokens(list(further), special_tokens=True)
    save_base(network, tokenizer, tmp_path / "base", {"a": 1}, FILL)
    model = LlavaForConditionalGeneration.from_pretrained(tmp_path / "base")
    words = network.llava.config.text_config.vocab_size
    added = max(1, len(further))
    assert model.lm_head.weight.shape[0] == words + added
    assert model.generation_config.suppress_tokens == list(range(words, words + added))
    found = AutoTokenizer.from_pretrained(tmp_path / "base")
    assert found.convert_tokens_to_ids("<image>") == model.config.image_token_id == words
    again = Llava(network.llava.config.vision_config.to_dict(), network.llava.config.text_config.to_dict())
    load_base(again, str(tmp_path / "base"))
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert json.loads((tmp_path / "base" / "network.json").read_text()) == {"a": 1}
    # What is read back as a base writes what it was made with.
    reread = load_tokenizer(str(tmp_path / "base"))
    assert reread("is there").input_ids == tokenizer("is there").input_ids


def test_a_folder_is_replaced_as_a_whole_and_a_failure_leaves_it(network, collate, tmp_path, monkeypatch):
    save_base(network, tokenizer_of(collate), tmp_path / "base", {"a": 1})
    (tmp_path / "base" / "mine").write_text("x")

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LlavaForConditionalGeneration, "save_pretrained", full)
        with pytest.raises(OSError, match="No space"):
            save_base(network, tokenizer_of(collate), tmp_path / "base", {"a": 2})
    assert (tmp_path / "base" / "mine").is_file() and [p.name for p in tmp_path.iterdir()] == ["base"]
    save_base(network, tokenizer_of(collate), tmp_path / "base", {"a": 2})
    assert not (tmp_path / "base" / "mine").exists()
