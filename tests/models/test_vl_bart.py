"""VLBart against transformers' BART, written-out sums and its own promises."""

from dataclasses import replace

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from vl_dora.batch import Batch, Example
from vl_dora.models.vision import TinyTower
from vl_dora.models.vl_bart import NUM_ADDED_TOKENS, VLBart

TEXT = {
    "vocab_size": 40 + NUM_ADDED_TOKENS,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "init_std": 0.2,
}


@pytest.fixture
def network() -> VLBart:
    torch.manual_seed(0)
    return VLBart(TEXT, feature_dim=16, num_visual_tokens=9, max_images=2).eval()


def batch(features=None, **changes) -> Batch:
    torch.manual_seed(1)
    ids = torch.tensor([[0, 7, 8, 9, 2], [0, 11, 2, 1, 1]])
    labels = torch.tensor([[0, 12, 2], [0, 13, 2]])
    made = Batch(
        examples=(Example("a", "", ""), Example("b", "", "")),
        input_ids=ids,
        attention_mask=ids != 1,
        features=features,
        labels=labels,
        label_weights=torch.full((2, 3), 1 / 6),
    )
    return replace(made, **changes)


def test_without_pictures_it_is_transformers_bart(network):
    reference = BartForConditionalGeneration(BartConfig(**TEXT)).eval()
    reference.load_state_dict(network.bart.state_dict())
    text = batch()
    expected = reference(
        input_ids=text.input_ids, attention_mask=text.attention_mask.long(), labels=text.labels
    )
    torch.testing.assert_close(network.logits(text), expected.logits)
    torch.testing.assert_close(network.loss(text), expected.loss)


def test_visual_token_is_the_sum_of_its_four_terms(network):
    features = torch.randn(2, 2, 9, 16)
    embedding, table = network.visual_embedding, network.bart.model.shared.weight
    got = embedding(features, table)
    for b, i, n in ((0, 0, 0), (1, 1, 5)):
        projected = (
            embedding.feature_projection.weight @ features[b, i, n] + embedding.feature_projection.bias
        )
        normed = torch.nn.functional.layer_norm(projected, (32,))
        constant = torch.nn.functional.layer_norm(embedding.box_projection.bias, (32,))
        expected = normed + constant + embedding.image_order.weight[i] + table[table.shape[0] - 1 - n]
        torch.testing.assert_close(got[b, i, n], expected)


def test_padded_prompts_give_the_same_logits(network):
    features = torch.randn(2, 1, 9, 16)
    both = network.logits(batch(features))
    alone = batch(
        features[1:], input_ids=torch.tensor([[0, 11, 2]]), attention_mask=torch.ones(1, 3, dtype=bool)
    )
    alone = replace(alone, labels=alone.labels[1:], label_weights=alone.label_weights[1:])
    torch.testing.assert_close(network.logits(alone)[0], both[1], atol=1e-5, rtol=1e-4)


def test_image_slots_that_only_pad_do_not_matter(network):
    features = torch.randn(2, 2, 9, 16)
    mask = torch.tensor([[True, True], [True, False]])
    other = features.clone()
    other[1, 1] = 7.0
    first = network.logits(batch(features, image_mask=mask))
    torch.testing.assert_close(first, network.logits(batch(other, image_mask=mask)))
    other[0, 1] = 7.0
    assert not torch.allclose(first[0], network.logits(batch(other, image_mask=mask))[0])


def clips_of(lengths: tuple[int, ...], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of clips padded with sevens, and their mask."""
    torch.manual_seed(2)
    features = torch.randn(len(lengths), 1, width, 16)
    mask = torch.arange(width)[None, None] < torch.tensor(lengths)[:, None, None]
    return features.masked_fill(~mask[..., None], 7.0), mask


def sequence_network(**options) -> VLBart:
    torch.manual_seed(0)
    return VLBart(TEXT, 16, num_visual_tokens=8, pooling="sequence", **options).eval()


def test_padding_of_a_short_clip_is_not_seen():
    network = sequence_network()
    features, mask = clips_of((6, 4), 6)
    both = network.logits(batch(features, feature_mask=mask))
    alone = network.logits(batch(features[:, :, :4]))
    torch.testing.assert_close(both[1], alone[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(both[0], alone[0])


def test_the_reference_fills_short_clips_up_with_zeros_and_sees_them():
    features, mask = clips_of((6, 4), 6)
    filled = torch.zeros(2, 1, 8, 16)
    filled[:, :, :6] = features.masked_fill(~mask[..., None], 0.0)
    faulty, right = sequence_network(attends_to_padding=True), sequence_network()
    expected = right.logits(batch(filled))
    torch.testing.assert_close(faulty.logits(batch(features, feature_mask=mask)), expected)
    # A batch in which no clip is shorter than another needs no mask and is filled up all the same.
    torch.testing.assert_close(faulty.logits(batch(filled[:, :, :7])), right.logits(batch(filled)))
    assert not torch.allclose(right.logits(batch(features, feature_mask=mask)), expected)


def test_frames_that_only_pad_a_short_clip_are_seen_by_the_reference_alone():
    torch.manual_seed(0)
    right = VLBart(TEXT, 16, num_visual_tokens=9, max_images=3).eval()
    torch.manual_seed(0)
    faulty = VLBart(TEXT, 16, num_visual_tokens=9, max_images=3, attends_to_padding=True).eval()
    frames = torch.randn(2, 3, 9, 16)
    shown = torch.tensor([[True] * 3, [True, False, False]])
    empty = frames.masked_fill(~shown[:, :, None, None], 0.0)
    expected = right.logits(batch(empty))
    torch.testing.assert_close(faulty.logits(batch(frames, image_mask=shown)), expected)
    alone = right.logits(batch(frames[:, :1]))
    masked = right.logits(batch(frames, image_mask=shown))
    torch.testing.assert_close(masked[1], alone[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(masked[1], expected[1])


def test_grid_pooling_takes_maxima_over_neighbouring_cells():
    network = VLBart(TEXT, 16, num_visual_tokens=4)
    grid = torch.randn(1, 1, 16, 16)
    pooled, _ = network._pool(grid, torch.ones(1, 1, 16, dtype=torch.bool))
    square = grid.view(4, 4, 16)
    torch.testing.assert_close(pooled[0, 0, 1], square[:2, 2:].amax((0, 1)))


@pytest.mark.parametrize("faulty", [False, True])
def test_a_long_clip_is_pooled_alike_whatever_clip_is_beside_it(faulty):
    network = sequence_network(attends_to_padding=faulty)
    features, mask = clips_of((29, 11), 29)
    both = network.logits(batch(features, feature_mask=mask))
    alone = network.logits(batch(features[:, :, :11]))
    torch.testing.assert_close(both[1], alone[1], atol=1e-5, rtol=1e-4)


def test_long_clips_are_pooled_over_equal_windows_and_short_ones_stay():
    network = VLBart(TEXT, 16, num_visual_tokens=4, pooling="sequence")
    clips, mask = clips_of((8, 6, 3), 8)
    pooled, kept = network._pool(clips, mask)
    torch.testing.assert_close(pooled[0, 0, 1], clips[0, 0, 2:4].amax(0))
    # Windows of 6 tokens into 4: 0-1, 1-2, 3-4, 4-5.
    torch.testing.assert_close(pooled[1, 0, 1], clips[1, 0, 1:3].amax(0))
    torch.testing.assert_close(pooled[2, 0, :3], clips[2, 0, :3])
    assert kept.tolist() == [[[True] * 4], [[True] * 4], [[True] * 3 + [False]]]
    assert (pooled[2, 0, 3] == 0).all()


def test_generation_follows_the_argmax_of_the_logits(network):
    features = torch.randn(2, 1, 9, 16)
    ids = network.generate(batch(features), num_beams=1, max_new_tokens=5)
    states, mask = network.encode(batch(features))
    written = torch.full((2, 1), 2)
    for _ in range(ids.shape[1] - 1):
        logits = network.bart(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=written,
        ).logits
        written = torch.cat((written, logits[:, -1:].argmax(-1)), dim=1)
    for got, expected in zip(ids.tolist(), written.tolist(), strict=True):
        end = expected.index(2, 1) + 1 if 2 in expected[1:] else len(expected)
        assert got[:end] == expected[:end]


def test_every_parameter_lies_in_exactly_one_part():
    network = VLBart(TEXT, 128, vision=TinyTower())
    prefixes = [path for paths in network.parts.values() for path in paths]
    for name, _ in network.named_parameters():
        assert sum(name.startswith(f"{prefix}.") for prefix in prefixes) == 1, name


def test_pixels_go_through_the_tower():
    torch.manual_seed(0)
    network = VLBart(TEXT, 128, vision=TinyTower()).eval()
    pixels = torch.randint(0, 256, (2, 2, 3, 96, 96), dtype=torch.uint8)
    stored = network.vision(pixels.flatten(0, 1)).unflatten(0, (2, 2))
    torch.testing.assert_close(network.logits(batch(pixels=pixels)), network.logits(batch(stored)))


def test_errors_say_what_to_change(network):
    with pytest.raises(ValueError, match="data.features"):
        network.logits(batch(pixels=torch.zeros(2, 1, 3, 96, 96, dtype=torch.uint8)))
    with pytest.raises(ValueError, match="max_images"):
        network.logits(batch(torch.randn(2, 3, 9, 16)))
    with pytest.raises(ValueError, match="feature_dim"):
        network.logits(batch(torch.randn(2, 1, 9, 17)))
    with pytest.raises(ValueError, match="pooling"):
        VLBart(TEXT, 16, pooling="mean")
