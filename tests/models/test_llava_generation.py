"""Answers do not depend on what else is in a batch: sizes 1, 2 and 16, greedy and beams, in float32."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from vl_dora.adapters import adapted_layers
from vl_dora.lightning_modules.llava import LlavaModule
from vl_dora.lightning_modules.optimizer import OptimizerSettings

SELECTION = {
    "projector": {"method": "dora", "rank": 2},
    "language": {"method": "dora", "layers": ["q_proj", "v_proj", "down_proj"], "rank": 2},
}


def rows() -> list[tuple[int, list[int], list[int]]]:
    """Sixteen samples: none, one or two pictures, 1 to 20 words."""
    generator = torch.Generator().manual_seed(4)
    return [
        (number % 3, torch.randint(3, 40, (1 + 7 * number % 20,), generator=generator).tolist(), [])
        for number in range(16)
    ]


def part_of(batch, start: int, size: int):
    """Some samples of a batch as the collate makes them, no longer and of no more pictures than needed."""
    own = slice(start, start + size)
    width = int(batch.attention_mask[own].sum(1).max())
    most = int(batch.image_mask[own].sum(1).max())
    return replace(
        batch,
        examples=batch.examples[own],
        input_ids=batch.input_ids[own, :width],
        attention_mask=batch.attention_mask[own, :width],
        pixels=batch.pixels[own, :most] if most else None,
        image_mask=batch.image_mask[own, :most] if most else None,
        labels=None,
        label_weights=None,
        prompt_lengths=batch.prompt_lengths[own],
    )


def module(network, **generation):
    words = SimpleNamespace(
        batch_decode=lambda ids, skip_special_tokens: [
            " ".join(str(i) for i in row if i > 2) for row in ids.tolist()
        ]
    )
    made = LlavaModule(
        network=network,
        task=SimpleNamespace(headline="exact"),
        tokenizer=words,
        selection=SELECTION,
        optimizer=OptimizerSettings(lr=1e-3),
        generation={"max_new_tokens": 10, **generation},
    )
    with torch.no_grad():
        for name, parameter in made.network.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                parameter.add_(0.2 * noise)
    return made


def answers(made, batches) -> dict[str, str]:
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.test(made, DataLoader(batches, batch_size=None), verbose=False)
    return {prediction.id: prediction.text for prediction in made.outcome.predictions}


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_sample_is_answered_alike_alone_and_among_others(seed, num_beams, tiny_llava, conversation_batch):
    made = module(tiny_llava(seed), num_beams=num_beams)
    batch = conversation_batch(rows())
    found = {
        size: answers(made, [part_of(batch, start, size) for start in range(0, 16, size)])
        for size in (1, 2, 16)
    }
    assert found[1] == found[2] == found[16] and len(found[1]) == 16
    assert len(set(found[1].values())) > 8 and len({len(text.split()) for text in found[1].values()}) > 1


def test_answers_are_written_with_merged_adapters_and_the_weights_come_back(tiny_llava, conversation_batch):
    made = module(tiny_llava(), num_beams=1)
    before = {name: tensor.clone() for name, tensor in made.network.state_dict().items()}
    batch = part_of(conversation_batch(rows()), 0, 16)
    unmerged = made.network.eval().generate(batch, num_beams=1, max_new_tokens=10)
    merged, seen = made.network.generate, []

    def watched(*args, **options):
        seen.append({layer.merged for layer in adapted_layers(made.network).values()})
        return merged(*args, **options)

    made.network.generate = watched
    found = answers(made, [batch])
    assert seen == [{True}]
    assert list(found.values()) == made.tokenizer.batch_decode(unmerged, skip_special_tokens=True)
    after = made.network.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[n], t) for n, t in before.items())
    assert not any(layer.merged for layer in adapted_layers(made.network).values())


def test_padding_may_be_a_word_that_the_table_lacks(tiny_llava, conversation_batch):
    """llava-hf's tokenizer pads with word 32,001, behind the 32,000 words of the network."""
    network, batch = tiny_llava(), conversation_batch([(1, [5, 6, 7], [8, 9, 2]), (0, [10, 11], [12, 2])])
    beyond = replace(batch, input_ids=batch.input_ids.masked_fill(~batch.attention_mask, 41))
    assert torch.equal(network.loss(beyond), network.loss(batch))
    written = [network.generate(b, num_beams=1, max_new_tokens=4) for b in (beyond, batch)]
    assert torch.equal(*written)
