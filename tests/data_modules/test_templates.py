"""Templates write what their sources write, and say where answers are."""

from types import SimpleNamespace

import pytest

from data_modules.templates import TEMPLATES, chat, vicuna_v1

TOKENIZER = SimpleNamespace(eos_token="</s>", chat_template=None)


def test_vicuna_is_written_as_llava_was_trained():
    rendered = vicuna_v1([("<image>\nWhat is it?", "A cat."), ("Sure?", "Yes.")], TOKENIZER)
    assert rendered.text == (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
        "helpful, detailed, and polite answers to the user's questions. "
        "USER: <image>\nWhat is it? ASSISTANT: A cat.</s>"
        "USER: Sure? ASSISTANT: Yes.</s>"
    )
    assert [rendered.text[a:b] for a, b in rendered.answers] == [" A cat.</s>", " Yes.</s>"]
    assert rendered.text[: rendered.last].endswith("USER: Sure? ASSISTANT:")


def test_a_question_alone_ends_where_the_answer_begins():
    rendered = vicuna_v1([("Why?", None)], TOKENIZER)
    assert rendered.text.endswith("USER: Why? ASSISTANT:") and rendered.last == len(rendered.text)
    assert rendered.answers == ()


class Chat:
    """A tokenizer of a chat template, given as a function from messages to text."""

    chat_template = "here"
    eos_token = "<end>"

    def __init__(self, write):
        self.write = write

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        assert tokenize is False
        return self.write(messages) + ("[bot]" if add_generation_prompt else "")


def write_plain(messages):
    marks = {"user": "[user]", "assistant": "[bot]"}
    return "".join(f"{marks[m['role']]}{m['content']}<end>\n" for m in messages)


def test_a_chat_template_gives_the_answers_with_their_ends():
    rendered = chat([("a?", "b"), ("c?", "d")], Chat(write_plain))
    assert [rendered.text[a:b] for a, b in rendered.answers] == ["b<end>", "d<end>"]
    assert rendered.text == write_plain(
        [
            {"role": r, "content": c}
            for r, c in (("user", "a?"), ("assistant", "b"), ("user", "c?"), ("assistant", "d"))
        ]
    )
    assert chat([("a?", None)], Chat(write_plain)).text == "[user]a?<end>\n[bot]"


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            lambda ms: write_plain(ms).replace("b<end>", "b"),
            "ends an answer with '\\\\n', not with the end token",
        ),
        (lambda ms: write_plain(ms).replace("b", "B"), "changes the answer 'b' to"),
        (lambda ms: f"{len(ms)}" + write_plain(ms), "writes earlier turns otherwise once others follow"),
    ],
)
def test_a_chat_template_whose_answers_cannot_be_found_is_refused(write, reason):
    write_ = lambda ms: write(ms).replace("[Bot]", "[bot]")  # noqa: E731
    with pytest.raises(ValueError, match=reason):
        chat([("a?", "b"), ("c?", "d")], Chat(write_))


def test_a_tokenizer_without_a_template_is_told_what_to_do():
    with pytest.raises(ValueError, match=r"no chat template; set model\.data\.collate\.template=vicuna_v1"):
        TEMPLATES["chat"]([("a?", None)], TOKENIZER)
