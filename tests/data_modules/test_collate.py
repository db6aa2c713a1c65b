from __future__ import annotations

import numpy as np
import pytest
import torch

from data_modules.collate import Collate, Sample
from vl_dora.batch import Example


def sample(prompt: str = "is it raining", target: str | None = "yes", **kwargs) -> Sample:
    return Sample(Example(kwargs.pop("id", "7"), prompt, target or ""), target, **kwargs)


TARGETS = ["yes", "two dogs", "a small cat, sitting on 12 boxes!", "how many red dogs are left of the tree"]


def test_the_supervised_tokens_decode_to_the_target(any_tokenizer):
    batch = Collate(any_tokenizer)([sample(target=t) for t in TARGETS])
    for labels, target in zip(batch.labels, TARGETS, strict=True):
        supervised = labels[labels != -100]
        assert any_tokenizer.decode(supervised, skip_special_tokens=True) == target
        assert supervised[-1] == any_tokenizer.eos_token_id
        assert (supervised == any_tokenizer.eos_token_id).sum() == 1


def test_exactly_the_supervised_tokens_have_a_weight(any_tokenizer):
    batch = Collate(any_tokenizer)([sample(target=t) for t in TARGETS])
    assert torch.equal(batch.label_weights > 0, batch.labels != -100)


def test_prompts_decode_to_themselves_and_are_padded_on_the_right(any_tokenizer):
    batch = Collate(any_tokenizer)([sample(prompt=t) for t in TARGETS])
    for ids, mask, prompt in zip(batch.input_ids, batch.attention_mask, TARGETS, strict=True):
        assert any_tokenizer.decode(ids[mask], skip_special_tokens=True) == prompt
        assert (ids[~mask] == any_tokenizer.pad_token_id).all()
        assert not (mask[1:] & ~mask[:-1]).any()
    assert batch.attention_mask.dtype == torch.bool


def test_a_prompt_that_spells_a_special_token_is_not_masked(tokenizer):
    batch = Collate(tokenizer)([sample(prompt="is it <pad> raining")])
    assert batch.attention_mask.all()


def test_labels_follow_bart(tokenizer):
    labels = Collate(tokenizer)([sample(target="two dogs"), sample(target="yes")]).labels
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    two, dogs, yes = tokenizer.convert_tokens_to_ids(["two", "dogs", "yes"])
    assert labels.tolist() == [[start, two, dogs, end], [start, yes, end, -100]]


def test_sample_weights_realise_the_mean_of_scored_means(tokenizer):
    weights = Collate(tokenizer)([sample(target="two dogs", weight=0.6), sample(weight=0.3)]).label_weights
    losses = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 99.0]])
    expected = (0.6 * (1 + 2 + 3 + 4) / 4 + 0.3 * (5 + 6 + 7) / 3) / 2
    assert (weights * losses).sum().item() == pytest.approx(expected)
    assert weights.dtype == torch.float32


def test_token_weights_realise_the_mean_over_all_tokens(tokenizer):
    collate = Collate(tokenizer, reduction="token")
    weights = collate([sample(target="two dogs"), sample()]).label_weights
    losses = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 99.0]])
    assert (weights * losses).sum().item() == pytest.approx(28 / 7)


def test_samples_without_a_target_weigh_nothing(tokenizer):
    batch = Collate(tokenizer)([sample(target=None), sample()])
    assert (batch.labels[0] == -100).all() and batch.label_weights[0].sum() == 0
    assert batch.label_weights[1].sum() == pytest.approx(0.5)
    alone = Collate(tokenizer)([sample(target=None)])
    assert alone.labels is None and alone.label_weights is None


@pytest.mark.parametrize("kind", ["prompt", "target"])
def test_a_longer_text_names_sample_length_limit_and_key(tokenizer, kind):
    collate = Collate(tokenizer, **{f"max_{kind}_tokens": 4})
    short = sample(**{"prompt": "yes", kind: "two dogs"})
    collate([short])
    message = rf"'q9'.*{kind} has 5 tokens.*data.max_{kind}_tokens=4"
    with pytest.raises(ValueError, match=message):
        collate([short, sample(id="q9", **{"prompt": "yes", kind: "is it raining"})])


def test_truncation_keeps_the_end_token(tokenizer):
    collate = Collate(tokenizer, max_prompt_tokens=4, max_target_tokens=3, on_long="truncate")
    batch = collate([sample(prompt="how many red dogs are left", target="two dogs")])
    assert tokenizer.convert_ids_to_tokens(batch.input_ids[0]) == ["<s>", "how", "many", "</s>"]
    assert tokenizer.convert_ids_to_tokens(batch.labels[0]) == ["<s>", "two", "</s>"]


def test_pictures_are_padded_to_the_largest_number_and_masked(tokenizer):
    pictures = [np.full((3, 4, 4), i, np.uint8) for i in (1, 2, 3)]
    batch = Collate(tokenizer)(
        [sample(visuals=tuple(pictures[:2])), sample(visuals=(pictures[2],)), sample(visuals=())]
    )
    assert batch.pixels.shape == (3, 2, 3, 4, 4) and batch.pixels.dtype == torch.uint8
    assert batch.image_mask.tolist() == [[True, True], [True, False], [False, False]]
    assert batch.pixels[:, :, 0, 0, 0].tolist() == [[1, 2], [3, 0], [0, 0]]
    assert batch.features is None and batch.feature_mask is None


def test_a_batch_without_pictures_has_none(tokenizer):
    batch = Collate(tokenizer)([sample()])
    assert batch.pixels is None and batch.features is None and batch.image_mask is None


def test_features_of_one_length_need_no_mask(tokenizer):
    features = np.random.RandomState(0).randn(2, 6, 5).astype(np.float16)
    batch = Collate(tokenizer)([sample(visuals=(f,)) for f in features])
    assert batch.features.shape == (2, 1, 6, 5) and batch.features.dtype == torch.float16
    assert batch.feature_mask is None and batch.pixels is None
    np.testing.assert_array_equal(batch.features[:, 0].numpy(), features)


def test_shorter_features_are_padded_and_masked(tokenizer):
    batch = Collate(tokenizer)([sample(visuals=(np.ones((n, 5), np.float32),)) for n in (2, 4)])
    assert batch.feature_mask.tolist() == [[[True, True, False, False]], [[True] * 4]]
    assert batch.features.sum(dim=(1, 2, 3)).tolist() == [10, 20]


def test_pictures_of_several_sizes_are_refused(tokenizer):
    with pytest.raises(ValueError, match="model.image_size"):
        Collate(tokenizer)([sample(visuals=(np.zeros((3, n, n), np.uint8),)) for n in (4, 5)])


def test_an_error_among_the_samples_is_handed_on(tokenizer):
    error = ValueError("picture a.png is missing")
    assert Collate(tokenizer)([sample(), error]) is error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "mean"}, "sample or token"),
        ({"on_long": "cut"}, "data.on_long='cut' must be one of raise, truncate, shorten"),
        ({"max_prompt_tokens": 1}, "data.max_prompt_tokens=1"),
    ],
)
def test_an_unknown_option_says_what_is_allowed(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        Collate(tokenizer, **options)


def test_a_tokenizer_without_padding_is_refused(tokenizer):
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="pad_token_id"):
        Collate(tokenizer)
