"""The data module on conversations: grouped, resumed, squared, blind; pictures and text alone."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from data_modules import VisionLanguageDataModule
from data_modules.conversation_collate import ConversationCollate
from data_modules.formats.llava_mix import LlavaConversations
from data_modules.scenes import conversations
from vl_dora.batch import VISUAL_PLACE
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.tasks.instructions import Instructions

FILL = (122, 116, 104)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("conversations")
    conversations.write(path, train=60, val=6, test=6)
    return path


def data(folder, **changes) -> VisionLanguageDataModule:
    options = {
        "collate": partial(ConversationCollate, visual_tokens=4),
        "square_fill": FILL,
        "order": "grouped",
        "splits": {"train": "train", "val": "val:answers", "test": "test:answers"},
        "batch_size": 8,
        **changes,
    }
    return VisionLanguageDataModule(
        task=Instructions(),
        tokenizer=build_tokenizer([], 1, ()),
        image_size=16,
        files=LlavaConversations(),
        root=folder,
        **options,
    )


def test_training_batches_are_of_one_kind_until_the_end(folder):
    module = data(folder)
    batches = list(module.train_dataloader())
    assert sorted(e.id for b in batches for e in b.examples) == sorted(
        e.id for e in module.examples("train", "train")
    )
    kinds = [{bool(e.images) for e in batch.examples} for batch in batches]
    shown = sum(bool(e.images) for e in module.examples("train", "train"))
    assert all(len(kind) == 1 for kind in kinds[: shown // 8 + (60 - shown) // 8])
    for batch in batches:
        assert (batch.input_ids == VISUAL_PLACE).sum(1).tolist() == [
            4 * len(e.images) for e in batch.examples
        ]
        assert (batch.pixels is None) == (not any(e.images for e in batch.examples))


def test_a_pass_that_was_cut_short_goes_on_with_the_very_same_batches(folder):
    whole = list(data(folder).train_dataloader())
    loader = data(folder).train_dataloader()
    first = iter(loader)
    for _ in range(3):
        next(first)
    again = data(folder).train_dataloader()
    again.load_state_dict(loader.state_dict())
    rest = list(again)
    assert len(rest) == len(whole) - 3
    for a, b in zip(rest, whole[3:], strict=True):
        assert torch.equal(a.input_ids, b.input_ids)
        assert torch.equal(a.label_weights, b.label_weights)


def test_validation_has_a_row_for_every_answer_in_file_order(folder):
    module = data(folder)
    found = [e for batch in module.val_dataloader() for e in batch.examples]
    assert [e.id for e in found] == [e.id for e in module.examples("val:answers", "val")]
    assert len(found) > 6 and all(e.answers == (e.target,) for e in found)


def test_pictures_are_squared_with_the_mean_colour_before_they_are_resized(folder, tmp_path):
    Image.fromarray(np.full((8, 16, 3), 250, dtype=np.uint8)).save(tmp_path / "wide.png")
    rows = (
        '[{"id": "1", "image": "wide.png", "conversations": [{"from": "human", "value": "<image>\\nwhat?"}, '
    )
    rows += '{"from": "gpt", "value": "white"}]}]'
    (tmp_path / "llava_v1_5_mix665k.json").write_text(rows)
    (batch,) = data(tmp_path, splits={"train": "train"}, order="shuffled").train_dataloader()
    picture = batch.pixels[0, 0]
    assert (picture[:, 4:12] == 250).all()
    assert torch.equal(
        picture[:, [0, -1]], torch.tensor(FILL, dtype=torch.uint8)[:, None, None].expand(3, 2, 16)
    )


def test_a_blind_run_reads_the_same_texts_and_one_picture(folder):
    seen, blind = (next(iter(data(folder, blind=b).val_dataloader())) for b in (False, True))
    assert torch.equal(seen.input_ids, blind.input_ids)
    assert len(blind.pixels.unique()) <= 2 < len(seen.pixels.unique())


def test_a_missing_picture_is_named_before_the_first_step(folder, tmp_path):
    (tmp_path / "llava_v1_5_mix665k.json").write_text(
        '[{"id": "1", "image": "gone.jpg", "conversations": [{"from": "human", "value": "<image>what?"}, '
        '{"from": "gpt", "value": "white"}]}]'
    )
    with pytest.raises(ValueError, match=r"row 1: picture .*gone\.jpg is missing"):
        data(tmp_path, splits={"train": "train"}).setup("fit")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "sorted"}, "data.order='sorted' must be one of shuffled, grouped"),
        ({"square_fill": [1, 2]}, r"model\.data\.square_fill=\[1, 2\] must be three numbers"),
        ({"max_prompt_tokens": 9}, "data.max_prompt_tokens=9 is an option of encoder-decoders"),
    ],
)
def test_options_outside_what_is_allowed_are_named(folder, options, words):
    with pytest.raises(ValueError, match=words):
        data(folder, **options)


@pytest.mark.parametrize("order", ["grouped", "shuffled"])
def test_packed_steps_are_those_of_unpacked_training_and_go_on_where_they_stopped(folder, order):
    plain, packing = (data(folder, order=order, packing=choice) for choice in (False, True))
    expected, found = list(plain.train_dataloader()), list(packing.train_dataloader())
    assert [b.examples for b in found] == [b.examples for b in expected]
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a.attention_mask.sum(), b.attention_mask.sum())
        torch.testing.assert_close(a.label_weights.sum(), b.label_weights.sum())
    tokens = [sum(b.input_ids.numel() for b in batches) for batches in (expected, found)]
    assert tokens[1] < tokens[0]
    loader = data(folder, order=order, packing=True).train_dataloader()
    loader.load_state_dict({"epoch": 0, "batches": 3})
    rest = list(loader)
    assert len(rest) == len(found) - 3
    for a, b in zip(found[3:], rest, strict=True):
        assert torch.equal(a.input_ids, b.input_ids) and torch.equal(a.segments, b.segments)
    # Answers are written a row a sample.
    assert all(batch.segments is None for batch in packing.val_dataloader())
