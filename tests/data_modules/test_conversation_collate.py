"""Batches of conversations: places, labels, weights, limits and what is refused."""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from data_modules.collate import Sample
from data_modules.conversation_collate import ConversationCollate
from data_modules.conversation_reading import with_fitting_conversations
from data_modules.reading import BadSamples
from vl_dora.batch import VISUAL_PLACE, ClipRef, Example, ImageRef

_file = Path(__file__).with_name("tokenizers_of_all_kinds.py")
_spec = importlib.util.spec_from_file_location("tokenizers_of_all_kinds", _file)
kinds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kinds)

PICTURE = np.zeros((3, 8, 8), dtype=np.uint8)


@pytest.fixture(scope="module")
def tokenizer():
    return kinds.build("bytes", ["what is there a red circle yes no USER: ASSISTANT: answer"], begins=True)


@pytest.fixture
def collate(tokenizer):
    return ConversationCollate(tokenizer, visual_tokens=4)


def sample(name="a", prompt="what?", target="yes", turns=(), pictures=0, weight=1.0) -> Sample:
    refs = tuple(ImageRef(f"{i}.png") for i in range(pictures))
    example = Example(name, prompt, target or "", images=refs, turns=turns)
    return Sample(example, target, weight, (PICTURE,) * pictures)


def told(tokenizer, batch, row: int) -> list[str]:
    """Decoded answers of a row, end tokens shown."""
    chosen = batch.labels[row][batch.labels[row] != -100]
    return [text.strip() for text in tokenizer.decode(chosen).split("</s>") if text]


def test_several_answers_are_supervised_and_nothing_else(collate, tokenizer):
    turns = (("<image>\nis there a circle?", "yes there is"), ("red?", "no"))
    batch = collate([sample(turns=turns, pictures=1), sample("b", "so?", "a red circle")])
    assert told(tokenizer, batch, 0) == ["yes there is", "no", "yes"]
    assert told(tokenizer, batch, 1) == ["a red circle"]
    assert torch.equal(batch.labels != -100, batch.label_weights > 0)
    shown = batch.labels != -100
    assert torch.equal(batch.labels[shown], batch.input_ids[shown])
    assert batch.attention_mask.sum(1).tolist() == [
        int((row != tokenizer.pad_token_id).sum()) for row in batch.input_ids
    ]


def test_the_prompt_ends_before_the_last_answer(collate, tokenizer):
    batch = collate([sample(turns=(("red?", "no"),), pictures=0)])
    asked = tokenizer.decode(batch.input_ids[0, : int(batch.prompt_lengths[0])])
    assert asked.endswith("USER: red? ASSISTANT: no</s>USER: what? ASSISTANT:")
    alone = collate([sample(target=None, turns=(("red?", "no"),))])
    assert alone.input_ids[0].tolist() == batch.input_ids[0, : int(batch.prompt_lengths[0])].tolist()
    assert told(tokenizer, alone, 0) == ["no"]


def test_pictures_without_a_place_stand_before_the_first_question(collate, tokenizer):
    batch = collate([sample(turns=(("red?", "no"),), pictures=2)])
    assert batch.pixels.shape == (1, 2, 3, 8, 8)
    places = (batch.input_ids[0] == VISUAL_PLACE).nonzero().flatten().tolist()
    assert places == list(range(places[0], places[0] + 8))
    assert tokenizer.decode(batch.input_ids[0, places[-1] + 1 :]).startswith("\nred? ASSISTANT: no")


def test_text_alone_needs_no_pictures_and_mixes_with_them(collate):
    alone = collate([sample(), sample("b")])
    assert alone.pixels is None and alone.image_mask is None
    mixed = collate([sample(), sample("b", pictures=1)])
    assert mixed.image_mask.tolist() == [[False], [True]]
    assert (mixed.input_ids == VISUAL_PLACE).sum(1).tolist() == [0, 4]


@pytest.mark.parametrize("reduction", ["token", "sample"])
def test_weights_carry_the_reduction_and_the_score(tokenizer, reduction):
    collate = ConversationCollate(tokenizer, reduction=reduction, visual_tokens=4)
    batch = collate([sample(weight=0.5), sample("b", target="a red circle")])
    numbers = (batch.labels != -100).sum(1)
    shares = numbers.sum().expand(2) if reduction == "token" else numbers * 2
    for row, score in enumerate((0.5, 1.0)):
        found = batch.label_weights[row][batch.labels[row] != -100]
        torch.testing.assert_close(found, torch.full_like(found, score / shares[row].item()))


def test_a_long_conversation_is_cut_from_the_right_and_never_through_a_picture(tokenizer):
    turns = (("<image>\nfirst?", "yes"), ("<image>\nsecond?", "no"))
    whole = ConversationCollate(tokenizer, visual_tokens=4)([sample(turns=turns, pictures=2)])
    places = (whole.input_ids[0] == VISUAL_PLACE).nonzero().flatten().tolist()
    for limit in range(places[4], whole.input_ids.shape[1]):
        cutting = ConversationCollate(tokenizer, on_long="truncate", visual_tokens=4, max_tokens=limit)
        batch = cutting([sample(turns=turns, pictures=2)])
        kept = batch.input_ids.shape[1]
        assert batch.input_ids[0].tolist() == whole.input_ids[0, :kept].tolist()
        seen = int((batch.input_ids == VISUAL_PLACE).sum())
        assert seen == 4 * batch.pixels.shape[1] and seen in (4, 8)
        assert kept == limit or (seen == 4 and kept == places[4])


def test_a_conversation_of_which_nothing_is_left_to_learn_is_an_error(tokenizer):
    cutting = ConversationCollate(tokenizer, on_long="truncate", visual_tokens=4, max_tokens=20)
    with pytest.raises(ValueError, match="sample 'a': no token of an answer is among its first 20"):
        cutting([sample()])
    raising = ConversationCollate(tokenizer, visual_tokens=4, max_tokens=20)
    with pytest.raises(ValueError, match=r"max_tokens=20 allows 20; raise it, or set data\.on_long=truncate"):
        raising([sample()])


def test_places_and_pictures_are_compared_before_a_network_sees_them(collate):
    with pytest.raises(ValueError, match="sample 'a': its text has 2 places <image>, it has 1 pictures"):
        collate([sample(prompt="<image> and <image>?", pictures=1)])
    with pytest.raises(ValueError, match="its text has 1 places <image>, it has 0 pictures"):
        collate([sample(prompt="<image>?")])


def test_stored_features_must_have_the_places_that_they_need(collate):
    short = Sample(sample(pictures=1).example, "yes", 1.0, (np.zeros((3, 5), np.float32),))
    with pytest.raises(ValueError, match=r"has 3 stored tokens, model\.data\.collate\.visual_tokens=4"):
        collate([short])


def test_special_tokens_in_what_people_wrote_are_refused(collate):
    with pytest.raises(ValueError, match="its text holds '</s>', a special token of the tokenizer"):
        collate([sample(target="yes</s>USER: no")])


def test_an_error_is_passed_on(collate):
    error = ValueError("a picture is missing")
    assert collate([sample(), error]) is error


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"max_prompt_tokens": 20}, "data.max_prompt_tokens=20 is an option of encoder-decoders"),
        ({"on_long": "shorten"}, "data.on_long='shorten' must be raise or truncate"),
        ({"reduction": "mean"}, "task.loss_reduction='mean'"),
        ({"template": "vicuna"}, "template='vicuna' must be one of vicuna_v1, chat"),
        ({"max_tokens": 0}, "max_tokens=0 must be at least 1"),
    ],
)
def test_options_outside_what_is_allowed_are_named(tokenizer, options, key):
    with pytest.raises(ValueError, match=key):
        ConversationCollate(tokenizer, **options)


# --- reading ----------------------------------------------------------------------------------


def read(tokenizer, examples, *, training=True, on_error="skip", **options):
    collate = ConversationCollate(tokenizer, visual_tokens=4, **options)
    bad = BadSamples("train", on_error, 10)
    rows = [(example, f"file, row {i}") for i, example in enumerate(examples, start=1)]
    return [e.id for e, _ in with_fitting_conversations(rows, collate, bad, training=training)], bad.messages


def test_bad_conversations_are_named_with_file_and_row(tokenizer):
    examples = [
        sample().example,
        sample("b", prompt="<image>?").example,
        sample("c", target="x" * 500).example,
        sample("d", target="</s>").example,
    ]
    kept, messages = read(tokenizer, examples, max_tokens=200)
    assert kept == ["a"]
    assert sorted(m.split(":")[0] for m in messages) == ["file, row 2", "file, row 3", "file, row 4"]
    with pytest.raises(ValueError, match="^file, row 2: sample 'b'"):
        read(tokenizer, examples, on_error="raise")


def test_what_will_be_cut_is_counted(tokenizer, caplog):
    examples = [sample().example, sample("b", target="yes " * 200).example]
    kept, messages = read(tokenizer, examples, max_tokens=150, on_long="truncate")
    assert kept == ["a", "b"] and not messages
    assert "cuts 1 of 2 conversations of split train after model.data.collate.max_tokens=150" in caplog.text


def test_a_prompt_without_room_for_an_answer_is_refused_in_evaluation(tokenizer):
    long = sample("a", prompt="why? " * 200, turns=(("red?", "no"),)).example
    kept, messages = read(tokenizer, [long], training=False, on_long="truncate", max_tokens=150)
    assert not kept and "leaves no room for an answer" in messages[0]


def test_frames_of_a_clip_are_counted_where_it_says_how_many(tokenizer):
    clip = Example("a", "what?", "yes", frames=ClipRef("a.mp4", count=3))
    text = len(sample(pictures=0).example.prompt)
    assert text and read(tokenizer, [clip], max_tokens=1000) == (["a"], [])
    _, messages = read(tokenizer, [clip], max_tokens=60)
    _, fewer = read(tokenizer, [sample(pictures=1).example], max_tokens=60)
    count = [int(m.split("conversation has ")[1].split()[0]) for m in (messages[0], fewer[0])]
    assert count[0] - count[1] == 2 * 4


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("bytes", []),
        ("word_pieces", []),
        # Here a token of running text crosses from question to answer, which none does in training.
        ("llama", ["a"]),
        # A space is put before the first word of a text, and a picture or a begin token is before it there.
        ("unigram", ["b", "a"]),
    ],
)
def test_prompts_that_transformers_would_tokenize_otherwise_are_found(kind, other):
    tokenizer = kinds.build(kind, ["what is there a red circle yes no USER: ASSISTANT: answer"], begins=True)
    collate = ConversationCollate(tokenizer, visual_tokens=4)
    words = copy.deepcopy(tokenizer)
    words.add_tokens(["<image>"], special_tokens=True)
    examples = [sample("b", pictures=1).example, sample("a", turns=(("red?", "no"),)).example]
    assert collate.told_otherwise(words, examples) == other
