"""Llava against transformers' own forward pass, written-out sums and its own promises."""

from dataclasses import replace

import pytest
import torch
from transformers import LlavaForConditionalGeneration

from vl_dora.adapters import apply_adapters
from vl_dora.batch import VISUAL_PLACE
from vl_dora.models.llava import Llava

MIXED = [(1, [5, 6, 7], [8, 9, 2]), (0, [10, 11], [12, 2]), (2, [13], [14, 15, 16, 2])]
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)


def test_computes_what_transformers_computes(tiny_llava, conversation_batch):
    network, batch = tiny_llava(), conversation_batch([(1, [5, 6, 7], [8, 9, 2]), (1, [10], [12, 2])])
    config = network.llava.config
    config.image_token_id = 39  # a word that the rows do not hold
    reference = LlavaForConditionalGeneration(config).eval()
    reference.load_state_dict(network.llava.state_dict())
    expected = reference(
        input_ids=batch.input_ids.masked_fill(batch.input_ids == VISUAL_PLACE, 39),
        attention_mask=batch.attention_mask.long(),
        pixel_values=(batch.pixels[:, 0].float() / 255 - MEAN) / STD,
        labels=batch.labels,
    )
    real = batch.attention_mask[:, 1:]
    torch.testing.assert_close(network.logits(batch)[:, 1:][real], expected.logits[:, :-1][real])
    torch.testing.assert_close(network.loss(batch), expected.loss)


@pytest.mark.parametrize("chunk", [None, 2])
def test_loss_is_the_weighted_sum_over_what_is_supervised(tiny_llava, conversation_batch, chunk):
    network, batch = tiny_llava(loss_chunk=chunk), conversation_batch(MIXED)
    batch = replace(batch, label_weights=torch.rand(batch.labels.shape))
    logp = network.logits(batch).log_softmax(-1)
    expected = -sum(
        batch.label_weights[b, t] * logp[b, t, batch.labels[b, t]]
        for b, t in (batch.labels != -100).nonzero().tolist()
    )
    torch.testing.assert_close(network.loss(batch), expected)


def test_rows_do_not_depend_on_each_other_or_on_padding(tiny_llava, conversation_batch):
    network, batch = tiny_llava(), conversation_batch(MIXED)
    together = network.logits(batch)
    for i, (pictures, _, _) in enumerate(MIXED):
        length = int(batch.attention_mask[i].sum())
        alone = replace(
            batch,
            examples=batch.examples[i : i + 1],
            input_ids=batch.input_ids[i : i + 1, :length],
            attention_mask=batch.attention_mask[i : i + 1, :length],
            pixels=batch.pixels[i : i + 1, :pictures] if pictures else None,
            image_mask=batch.image_mask[i : i + 1, :pictures] if pictures else None,
        )
        torch.testing.assert_close(network.logits(alone)[0], together[i, :length], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_left_padded_batches_write_what_each_row_writes_alone(tiny_llava, conversation_batch, beams):
    network, batch = tiny_llava(), conversation_batch(MIXED)
    together = network.generate(batch, num_beams=beams, max_new_tokens=8)
    for i, (pictures, _, _) in enumerate(MIXED):
        alone = replace(
            batch,
            input_ids=batch.input_ids[i : i + 1],
            prompt_lengths=batch.prompt_lengths[i : i + 1],
            pixels=batch.pixels[i : i + 1, :pictures] if pictures else None,
            image_mask=batch.image_mask[i : i + 1, :pictures] if pictures else None,
        )
        written = network.generate(alone, num_beams=beams, max_new_tokens=8)[0]
        assert together[i, : len(written)].tolist() == written.tolist()
        assert set(together[i, len(written) :].tolist()) <= {0, 2}  # padding, or ends


def test_greedy_generation_follows_the_largest_logit_and_sees_no_answer(tiny_llava, conversation_batch):
    network = tiny_llava()
    batch = conversation_batch([(1, [5, 6, 7], [8, 9, 2])])
    prompt = batch.input_ids[:, : int(batch.prompt_lengths[0])]
    written = []
    for _ in range(5):
        ids = torch.cat((prompt, torch.tensor([[*written, 0]], dtype=torch.long)), dim=1)
        step = replace(batch, input_ids=ids, attention_mask=torch.ones_like(ids, dtype=torch.bool))
        written.append(int(network.logits(step)[0, -1].argmax()))
        if written[-1] == 2:
            break
    assert network.generate(batch, num_beams=1, max_new_tokens=5)[0].tolist() == written


def test_features_of_the_tower_take_the_place_of_pixels(tiny_llava, conversation_batch):
    network, batch = tiny_llava(), conversation_batch(MIXED)
    features = network.vision(batch.pixels.flatten(0, 1)).unflatten(0, batch.pixels.shape[:2])
    assert features.shape == (3, 2, 4, 16)
    stored = replace(batch, pixels=None, features=features)
    torch.testing.assert_close(network.loss(stored), network.loss(batch))


def test_the_layer_before_the_last_is_read_and_the_class_token_dropped(tiny_llava, conversation_batch):
    network, batch = tiny_llava(), conversation_batch([(1, [5], [2])])
    pixels = batch.pixels[0]
    read = network.vision(pixels)
    body = network.llava.model.vision_tower
    values = (pixels.float() / 255 - MEAN) / STD
    first_layer = next(m for n, m in body.named_modules() if n.endswith("encoder.layers.0"))
    seen = []
    handle = first_layer.register_forward_hook(
        lambda m, i, o: seen.append(o[0] if isinstance(o, tuple) else o)
    )
    body(values)
    handle.remove()
    torch.testing.assert_close(read, seen[0][:, 1:])


def gradients(network, batch):
    network.zero_grad()
    network.loss(batch).backward()
    return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


def kept_numbers(network, batch) -> int:
    """How many numbers a forward pass keeps for the backward one."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        network.loss(batch)
    return sum(sizes)


def test_checkpointed_layers_give_the_same_gradients(tiny_llava, conversation_batch):
    batch = conversation_batch(MIXED)
    plain, saving = tiny_llava().train(), tiny_llava(checkpointing=True).train()
    assert kept_numbers(saving, batch) < kept_numbers(plain, batch)
    expected, found = gradients(plain, batch), gradients(saving, batch)
    assert expected.keys() == found.keys()
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad)


def test_text_alone_trains_and_gives_the_projector_a_gradient_of_zero(tiny_llava, conversation_batch):
    network = tiny_llava()
    apply_adapters(
        network, {"projector": "full", "language": {"method": "dora", "layers": ["q_proj"], "rank": 2}}
    )
    found = gradients(network, conversation_batch([(0, [5, 6], [7, 2])]))
    projector = [g for n, g in found.items() if "multi_modal_projector" in n]
    assert len(projector) == 4 and not any(g.any() for g in projector)
    assert any(g.any() for n, g in found.items() if "q_proj" in n)


@pytest.mark.parametrize(("row", "places"), [([1, 5, 5, 5, 5, 5], 8), ([1, *[VISUAL_PLACE] * 5], 13)])
def test_pictures_without_their_places_are_refused(tiny_llava, conversation_batch, row, places):
    batch = conversation_batch(MIXED)
    ids = batch.input_ids.clone()
    ids[0, :6] = torch.tensor(row)
    with pytest.raises(ValueError, match=f"{places} places for visual tokens, its pictures make 12"):
        tiny_llava().loss(replace(batch, input_ids=ids))


def test_pictures_of_another_size_are_refused(tiny_llava, conversation_batch):
    batch = conversation_batch(MIXED)
    with pytest.raises(ValueError, match=r"set model\.image_size=8"):
        tiny_llava().loss(replace(batch, pixels=batch.pixels.repeat(1, 1, 1, 2, 2)))


@pytest.mark.parametrize(
    "rule",
    [
        {"method": "dora", "layers": ["q_proj"], "rank": 2},
        {"method": "lora", "layers": None, "rank": 2},
        {"method": "full", "layers": ["post_layernorm"]},
        "full",
        {"method": "frozen", "layer_norms": True},
    ],
)
def test_what_no_gradient_reaches_in_the_tower_is_refused_with_the_reason(tiny_llava, rule):
    with pytest.raises(ValueError, match="no gradient reaches .* reads the output of layer 0 of the tower"):
        apply_adapters(tiny_llava(), {"vision": rule})


def test_tower_and_projector_can_be_adapted_where_gradients_reach(tiny_llava, conversation_batch):
    network = tiny_llava()
    apply_adapters(
        network,
        {
            "vision": {"method": "dora", "layers": [r".*layers\.0\..*(q|v)_proj"], "rank": 2},
            "projector": {"method": "dora", "rank": 2},
            "language": {"method": "magnitude", "layers": ["o_proj"]},
        },
    )
    found = gradients(network, conversation_batch(MIXED))
    trained = {n for n, p in network.named_parameters() if p.requires_grad}
    assert trained == set(found) and len(trained) == 2 * 3 + 2 * 3 + 2
    assert all(grad.any() for name, grad in found.items() if not name.endswith("lora_a"))


@pytest.mark.parametrize("layer", [0, -3])
def test_a_layer_that_the_tower_lacks_is_refused(tiny_llava, layer):
    with pytest.raises(ValueError, match=rf"vision_feature_layer={layer} must lie in -2\.\.-1"):
        tiny_llava(vision_feature_layer=layer)


def test_the_last_layer_may_be_read_too(tiny_llava):
    assert [path.rpartition(".")[2] for path in tiny_llava(vision_feature_layer=-1).unreachable] == [
        "post_layernorm"
    ]


def test_generation_needs_to_know_its_end():
    with pytest.raises(ValueError, match=r"model\.network\.text\.eos_token_id is not set"):
        Llava({"num_hidden_layers": 2}, {"vocab_size": 40, "pad_token_id": 0, "eos_token_id": None})
