"""The instruction file on a hand-made folder in its official layout."""

import json

import pytest

from data_modules.formats.llava_mix import LlavaConversations
from data_modules.reading import BadSamples, read_examples
from vl_dora.batch import ImageRef
from vl_dora.tasks.instructions import Instructions

ROWS = [
    {
        "id": "000000033471",
        "image": "coco/train2017/000000033471.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat are the colors of the bus?"},
            {"from": "gpt", "value": "White and red."},
            {"from": "human", "value": "What is behind it?"},
            {"from": "gpt", "value": "Nothing."},
        ],
    },
    {
        "id": "wgByO4Y_0",
        "model": "",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}],
    },
    {
        "id": "000000033471",
        "image": ["a.jpg", "b.jpg"],
        "conversations": [
            {"from": "human", "value": "<image> or <image>?"},
            {"from": "gpt", "value": "The first."},
        ],
    },
]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "llava_v1_5_mix665k.json").write_text(json.dumps(ROWS))
    return tmp_path


def examples(root, split, files=None, on_error="raise"):
    bad = BadSamples(split, on_error, 5)
    found = read_examples(files or LlavaConversations(), root, split, Instructions(), bad)
    return [e for e, _ in found], bad.messages


def test_conversations_are_read_whole_for_training(root):
    found, _ = examples(root, "train")
    assert [e.id for e in found] == ["1:000000033471", "2:wgByO4Y_0", "3:000000033471"]
    assert [len(e.turns) for e in found] == [1, 0, 0]
    assert found[2].images == (ImageRef("a.jpg"), ImageRef("b.jpg"))
    assert found[1].images == ()


def test_every_answer_is_a_row_where_answers_are_scored(root):
    found, _ = examples(root, "train:answers")
    assert [(e.id, e.target) for e in found] == [
        ("1:000000033471#1", "White and red."),
        ("1:000000033471#2", "Nothing."),
        ("2:wgByO4Y_0#1", "Hello."),
        ("3:000000033471#1", "The first."),
    ]
    assert found[1].turns == (("<image>\nWhat are the colors of the bus?", "White and red."),)


def test_splits_are_those_whose_files_are_there(root):
    assert LlavaConversations().splits(root) == ("train", "train:answers")
    (root / "llava_val.json").write_text("[]")
    assert LlavaConversations().splits(root) == ("train", "val", "train:answers", "val:answers")


def test_a_share_is_kept_apart_by_picture_where_there_is_no_val(tmp_path):
    rows = [{**ROWS[0], "image": f"{i % 50}.jpg"} for i in range(200)]
    (tmp_path / "llava_v1_5_mix665k.json").write_text(json.dumps(rows))
    files = LlavaConversations(held_share=0.2)
    assert "val:answers" in files.splits(tmp_path)
    pictures = {s: {e.images[0].path for e in examples(tmp_path, s, files)[0]} for s in ("train", "val")}
    assert not pictures["train"] & pictures["val"] and len(pictures["train"] | pictures["val"]) == 50
    assert 2 <= len(pictures["val"]) <= 20


def test_another_file_of_annotations_is_read(root, tmp_path):
    other = tmp_path / "mine.json"
    other.write_text(json.dumps(ROWS[1:2]))
    for named in ("mine.json", str(other)):
        assert len(examples(root, "train", LlavaConversations(annotations=named))[0]) == 1


def test_a_bad_conversation_is_named_with_file_and_row(root):
    rows = [*ROWS, {"id": "9", "conversations": [{"from": "gpt", "value": "Hello."}]}]
    path = root / "llava_v1_5_mix665k.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=f"{path}, row 4: .* message 1 is from 'gpt'"):
        examples(root, "train")
    found, messages = examples(root, "train", on_error="skip")
    assert len(found) == 3 and len(messages) == 1


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ({}, "expected a list"),
        ([{"id": "1"}], "row 1: field 'conversations' is missing"),
        (
            [{"id": "1", "conversations": "hi"}],
            "row 1: .*'conversations' must be a list of messages, got 'hi'",
        ),
        ([{"id": "1", "image": 7, "conversations": []}], "row 1: 'image' must be a path or a list of paths"),
    ],
)
def test_what_is_no_list_of_conversations_is_refused(root, rows, reason):
    (root / "llava_v1_5_mix665k.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=reason):
        examples(root, "train")


def test_a_missing_file_is_named(root):
    with pytest.raises(FileNotFoundError, match=r"llava_val\.json is missing"):
        examples(root, "val")
    with pytest.raises(ValueError, match="split 'dev' is unknown; allowed: train, val, test, train:answers"):
        examples(root, "dev")
