"""A network filled part by part from what transformers and LLaVA write."""

import pytest
import torch
from transformers import CLIPVisionModel, LlamaForCausalLM

from vl_dora.models.llava_parts import load_parts


@pytest.fixture
def stored(tiny_llava, tmp_path):
    config = tiny_llava().llava.config
    torch.manual_seed(3)
    language, tower = LlamaForCausalLM(config.text_config), CLIPVisionModel(config.vision_config)
    language.save_pretrained(tmp_path / "language")
    tower.save_pretrained(tmp_path / "tower")
    shapes = {"0.weight": (24, 16), "0.bias": (24,), "2.weight": (24, 24), "2.bias": (24,)}
    projector = {f"model.mm_projector.{name}": torch.randn(shape) for name, shape in shapes.items()}
    torch.save(projector, tmp_path / "mm_projector.bin")
    return language, tower, projector, tmp_path


def test_every_part_has_its_own_weights(stored, tiny_llava):
    language, tower, projector, folder = stored
    network = tiny_llava()
    load_parts(
        network,
        str(folder / "language"),
        vision=str(folder / "tower"),
        projector=str(folder / "mm_projector.bin"),
    )
    model = network.llava.model
    for found, expected in ((model.language_model, language.model), (model.vision_tower, tower)):
        for a, b in zip(found.parameters(), expected.parameters(), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(network.llava.lm_head.weight, language.lm_head.weight)
    assert torch.equal(model.multi_modal_projector.linear_2.bias, projector["model.mm_projector.2.bias"])
    assert torch.equal(model.multi_modal_projector.linear_1.weight, projector["model.mm_projector.0.weight"])


def test_a_projector_may_be_left_to_train_and_that_is_said(stored, tiny_llava, caplog):
    folder, network = stored[3], tiny_llava()
    before = network.llava.model.multi_modal_projector.linear_1.weight.clone()
    load_parts(network, str(folder / "language"), vision=str(folder / "tower"), projector=None)
    assert torch.equal(network.llava.model.multi_modal_projector.linear_1.weight, before)
    assert "the projector starts random and must train first" in caplog.text


def test_a_missing_or_strange_projector_is_named(stored, tiny_llava):
    folder = stored[3]
    parts = {"vision": str(folder / "tower")}
    with pytest.raises(FileNotFoundError, match=r"projector=.*none\.bin is missing"):
        load_parts(tiny_llava(), str(folder / "language"), projector=str(folder / "none.bin"), **parts)
    torch.save({"model.mm_projector.0.weight": torch.zeros(2, 2)}, folder / "other.bin")
    with pytest.raises(
        ValueError, match=r"projector .*other\.bin does not fit model\.network: 3 weights missing"
    ):
        load_parts(tiny_llava(), str(folder / "language"), projector=str(folder / "other.bin"), **parts)


def test_a_tower_of_another_shape_is_refused(stored, tiny_llava):
    language, tower, _, folder = stored
    config = tower.config
    config.num_hidden_layers = 3
    CLIPVisionModel(config).save_pretrained(folder / "deep")
    with pytest.raises(ValueError, match=r"deep is of another network: vision\.num_hidden_layers 3 where"):
        load_parts(tiny_llava(), str(folder / "language"), vision=str(folder / "deep"), projector=None)
