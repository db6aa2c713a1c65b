"""Conversations as examples: what is read, what is refused, what is scored."""

import json

import pytest

from vl_dora.batch import Example, ImageRef, Prediction
from vl_dora.tasks.instructions import CHOICE, SHORT, Instructions, kind_of

PICTURE = (ImageRef("a.jpg"),)


def row(*messages, images=(), **more):
    roles = ("human", "gpt")
    listed = [{"from": roles[i % 2], "value": text} for i, text in enumerate(messages)]
    return {"row": 3, "id": "x", "images": images, "conversations": listed, **more}


def test_the_last_pair_is_prompt_and_target_and_the_others_come_before():
    found = Instructions().example(row("a?", " b ", "c?", "d", images=(), turn=2))
    assert (found.prompt, found.target, found.turns) == ("c?", "d", (("a?", "b"),))
    assert found.id == "3:x#2" and found.answers == ("d",)
    assert found.groups == {"kind": "free", "input": "text"}


@pytest.mark.parametrize("text", ["<image>\nwhat?", "what?\n<image>", " what? <image> ", "<image>what?"])
def test_the_only_picture_stands_before_its_question(text):
    found = Instructions().example(row(text, "b", "and?", "c", images=PICTURE))
    assert found.turns == (("<image>\nwhat?", "b"),) and found.images == PICTURE


def test_several_pictures_stay_where_they_are_written():
    found = Instructions().example(row("is <image> left of <image>?", "b", images=PICTURE * 2))
    assert found.prompt == "is <image> left of <image>?"


@pytest.mark.parametrize(
    ("questions", "kind"),
    [
        (["a?\n" + SHORT], "short answer"),
        (["a?\nA. b\n" + CHOICE], "choice"),
        (["a?"], "free"),
        (["a?", "b?\n" + SHORT, "c?"], "short answer"),
        (["a?\n" + SHORT, "b?\n" + CHOICE], "choice"),
    ],
)
def test_the_kind_of_answer_is_told_by_the_end_of_a_question_and_holds_on(questions, kind):
    assert kind_of(questions) == kind


BAD = {
    "message 1 is from 'gpt'; a conversation starts with human": [("gpt", "b"), ("human", "a?")],
    "message 2 is from 'human'; a conversation starts with human": [("human", "a?"), ("human", "a?")],
    "message 2 is from 'narrator'; allowed: assistant, gpt, human, user": [
        ("human", "a?"),
        ("narrator", "b"),
    ],
    "message 2, from 'gpt', is empty": [("human", "a?"), ("gpt", "  ")],
    "message 1, from 'human', is empty": [("human", ""), ("gpt", "b")],
    "message 2 is an answer that holds <image>": [("human", "a?"), ("gpt", "<image>")],
    "the last message is a question without an answer": [("human", "a?")],
    "'conversations' is empty": [],
    "1 <image> in its questions, but 0 pictures in 'image'": [("human", "<image>a?"), ("gpt", "b")],
}


@pytest.mark.parametrize("reason", BAD)
def test_a_conversation_that_cannot_be_learned_is_refused(reason):
    messages = [{"from": who, "value": text} for who, text in BAD[reason]]
    with pytest.raises(ValueError, match=reason):
        Instructions().example({**row(), "conversations": messages})


def test_a_picture_without_a_place_is_refused():
    with pytest.raises(ValueError, match="0 <image> in its questions, but 1 pictures"):
        Instructions().example(row("a?", "b", images=PICTURE))


def test_a_message_that_is_no_object_is_refused():
    with pytest.raises(ValueError, match="message 1 must be an object with 'from' and 'value'"):
        Instructions().example({**row(), "conversations": ["a?", "b"]})


def told(name, text, answer, kind="free"):
    return Prediction(
        Example(name, "a?", answer, answers=(answer,), groups={"kind": kind, "input": "text"}), text
    )


def test_exact_forgives_case_space_and_a_full_stop_and_rouge_gives_shares():
    predictions = [
        told("1:a#1", "Yes.", "yes", "short answer"),
        told("1:a#2", "the big red circle", "the red circle"),
        told("2:b#1", "", "no", "short answer"),
    ]
    report = Instructions().score(predictions)
    assert report.scores["exact"] == pytest.approx(100 / 3)
    # Longest common subsequence 3 of 4 and 3 words: precision 3/4, recall 1, beta 1.2.
    share = (1 + 1.44) * 0.75 * 1 / (1 + 1.44 * 0.75)
    assert report.scores["rouge_l"] == pytest.approx(100 * (1 + share + 0) / 3)
    assert report.by_type["kind"] == {"free": 0.0, "short answer": 50.0}
    assert report.clusters == {"1:a#1": "1:a", "1:a#2": "1:a", "2:b#1": "2:b"}


def test_answers_are_written_in_llavas_layout(tmp_path):
    (path,) = Instructions().write_submission([told("1:a", " Yes ", "yes")], tmp_path)
    assert json.loads(path.read_text()) == {
        "question_id": "1:a",
        "prompt": "a?",
        "text": "Yes",
        "metadata": {},
    }
