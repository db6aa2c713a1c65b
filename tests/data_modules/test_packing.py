"""Packed rows: every token once, apart from its neighbours, and the loss and gradients of unpacked rows."""

from dataclasses import replace

import pytest
import torch

from data_modules.collate import Collate
from data_modules.packing import packed, rows_with_little_padding, training_collate
from vl_dora.adapters import apply_adapters
from vl_dora.batch import VISUAL_PLACE

# (pictures, prompt ids, answer ids): text alone and pictures mixed, one, two and no pictures, many lengths.
ROWS = [
    (0, [10, 11], [12, 2]),
    (2, [13, 5, 6, 7, 8, 9, 10], [14, 15, 16, 2]),
    (1, [5, 6, 7], [8, 9, 2]),
    (0, [20], [2]),
    (1, [21], [22, 2]),
    (0, [23, 24, 25, 26, 27, 28, 29, 30, 31, 32], [33, 34, 2]),
]


@pytest.mark.parametrize("limit", [None, 60, 150, 400])
@pytest.mark.parametrize("seed", range(5))
def test_rows_hold_every_piece_once_within_the_limit_and_waste_little(seed, limit):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 61, (40,), generator=generator).tolist()
    rows = rows_with_little_padding(lengths, limit)
    assert sorted(piece for row in rows for piece in row) == list(range(40))
    filled = [sum(lengths[piece] for piece in row) for row in rows]
    assert limit is None or max(filled) <= limit
    wasted = 1 - sum(filled) / (len(rows) * max(filled))
    assert wasted <= 0.05 or limit == 60 and wasted < 1 - sum(lengths) / (40 * max(lengths))
    assert rows == rows_with_little_padding(lengths, limit)


@pytest.mark.parametrize(
    ("lengths", "limit", "rows"),
    [
        ([7, 7, 7], 100, [[0], [1], [2]]),  # no padding to save
        ([8, 4, 4], 100, [[0], [1, 2]]),
        ([9, 5, 4], 9, [[0], [1, 2]]),
        ([9, 5, 5], 9, [[0], [1], [2]]),  # two do not fit into a row
        ([9, 5, 5], 10, [[0], [1, 2]]),
        ([9, 4, 1], 14, [[0, 1, 2]]),  # only all together leave no padding
        ([9, 4, 1], 10, [[0], [1, 2]]),
        ([6], 3, [[0]]),
    ],
)
def test_rows_are_no_wider_than_padding_asks_for(lengths, limit, rows):
    assert rows_with_little_padding(lengths, limit) == rows


def test_a_packed_batch_holds_the_same_tokens_labels_and_weights(conversation_batch):
    batch = replace(conversation_batch(ROWS), label_weights=None)
    batch = replace(batch, label_weights=torch.rand(batch.labels.shape) * (batch.labels != -100))
    found = packed(batch)
    assert len(found.input_ids) < len(batch) and found.input_ids.numel() < batch.input_ids.numel()
    assert found.examples == batch.examples and torch.equal(found.pixels, batch.pixels)
    for sample in range(len(batch)):
        own = found.segments == sample
        length = int(batch.attention_mask[sample].sum())
        assert int(own.any(1).sum()) == 1 and int(own.sum()) == length
        for name in ("input_ids", "labels", "label_weights"):
            assert torch.equal(getattr(found, name)[own], getattr(batch, name)[sample, :length]), name
    padding = found.segments < 0
    assert torch.equal(~padding, found.attention_mask)
    assert (found.labels[padding] == -100).all() and not found.label_weights[padding].any()


SELECTION = {
    "projector": {"method": "dora", "rank": 2},
    "language": {
        "method": "dora",
        "layers": ["q_proj", "down_proj"],
        "rank": 2,
        "also": {"head": {"method": "full", "layers": ["lm_head"]}},
    },
}


def of(network, batch):
    network.zero_grad()
    loss = network.loss(batch)
    loss.backward()
    return loss, {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["mixed", "text alone", "tower trains"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_loss_and_gradients_are_those_of_unpacked_rows_in_float64(
    kind, attention, tiny_llava, conversation_batch
):
    network = tiny_llava(checkpointing=kind == "mixed").double().train()
    network.llava.model.language_model.set_attn_implementation(attention)
    tower = {"vision": {"method": "lora", "layers": [r".*layers\.0\..*v_proj"], "rank": 2}}
    apply_adapters(network, SELECTION | (tower if kind == "tower trains" else {}))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for parameter in network.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.1 * noise)
    rows = [(0, *row[1:]) for row in ROWS] if kind == "text alone" else ROWS
    batch = conversation_batch(rows)
    weights = torch.rand(batch.labels.shape, dtype=torch.float64) * (batch.labels != -100)
    batch = replace(batch, label_weights=weights)
    (loss, expected), (again, found) = of(network, batch), of(network, packed(batch))
    # The eager attention of transformers takes its softmax in float32 whatever the dtype.
    exact = {"sdpa": {"rtol": 1e-9, "atol": 1e-12}, "eager": {"rtol": 1e-4, "atol": 1e-6}}[attention]
    torch.testing.assert_close(again, loss, **exact)
    assert found.keys() == expected.keys()
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, **exact)


def test_scores_of_every_token_are_those_of_its_own_row(tiny_llava, conversation_batch):
    network, batch = tiny_llava().double(), conversation_batch(ROWS)
    together, alone = network.logits(packed(batch)), network.logits(batch)
    for sample in range(len(batch)):
        own = packed(batch).segments == sample
        torch.testing.assert_close(together[own], alone[sample, : int(own.sum())], rtol=1e-9, atol=1e-12)


def test_a_neighbour_changes_nothing(tiny_llava, conversation_batch):
    network, batch = tiny_llava().double(), packed(conversation_batch(ROWS))
    crowded = next(
        row for row in range(len(batch.segments)) if len(set(batch.segments[row].tolist()) - {-1}) > 1
    )
    first = int(batch.segments[crowded, 0])
    ids = batch.input_ids.clone()
    changed = (batch.segments == first) & (ids != VISUAL_PLACE)
    ids[changed] = 17
    before, after = network.logits(batch), network.logits(replace(batch, input_ids=ids))
    others = (batch.segments != first) & (batch.segments >= 0)
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[~others], after[~others])


def test_packing_is_refused_where_a_row_is_a_sample():
    from vl_dora.models.tiny_tokenizer import build_tokenizer

    collate = Collate(build_tokenizer(["yes no"]))
    assert training_collate(collate, False) is collate
    with pytest.raises(
        ValueError, match=r"data\.packing=true is for decoder-only models .*set data\.packing=false"
    ):
        training_collate(collate, True)
    with pytest.raises(ValueError, match=r"data\.packing='yes' must be true or false"):
        training_collate(collate, "yes")
