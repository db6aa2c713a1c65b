"""Planned batches are of the sizes asked for, and what cannot be is refused."""

from __future__ import annotations

import pytest
import torch

from vl_dora.batch import VISUAL_PLACE
from vl_dora.planning.batch_shape import BatchShape
from vl_dora.planning.shapes_only import ShapesOnly


def test_a_conversation_has_places_for_its_pictures_and_answers_at_its_end():
    batch = BatchShape(3, 20, 5, 2, visual_tokens=4, pixels=8).make(ShapesOnly())
    assert ((batch.input_ids == VISUAL_PLACE).sum(1) == 8).all()
    assert batch.pixels.shape == (3, 2, 3, 8, 8) and batch.pixels.dtype is torch.uint8
    assert [int(n) for n in (batch.labels != -100).sum(1)] == [5, 5, 4]  # the last row is a token shorter
    assert int(batch.attention_mask.sum()) == 3 * 20 - 1
    assert float(batch.label_weights.sum()) == pytest.approx(1.0)


def test_an_encoder_decoders_batch_has_prompts_targets_and_features():
    batch = BatchShape(2, 7, 3, 1, features=(36, 16)).make(ShapesOnly())
    assert (batch.input_ids.shape, batch.labels.shape) == ((2, 7), (2, 3))
    assert batch.features.shape == (2, 1, 36, 16) and batch.pixels is None


@pytest.mark.parametrize(("tokens", "supervised", "pictures"), [(9, 1, 2), (20, 12, 2), (20, 0, 1)])
def test_a_conversation_without_room_is_refused(tokens, supervised, pictures):
    with pytest.raises(ValueError, match="has no room for .* set batch.prompt_tokens"):
        BatchShape(2, tokens, supervised, pictures, visual_tokens=4, pixels=8).make(ShapesOnly())
