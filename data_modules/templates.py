"""Conversations as one text, with the places of the answers known by their characters.

A question may hold `<image>` where a picture stands; it stays in the text as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IMAGE = "<image>"

# Liu et al. 2024 (arXiv:2310.03744): the words before every conversation of Vicuna v1.
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

Turns = Sequence[tuple[str, "str | None"]]


@dataclass(frozen=True)
class Rendered:
    """A conversation as a template writes it.

    Args:
        text: all of it.
        answers: (start, end) in characters of every answer, the white space before it and its end token
            included: what the assistant is to write, and nothing else.
        last: where the last answer starts, or would start.
    """

    text: str
    answers: tuple[tuple[int, int], ...]
    last: int


Template = Callable[[Turns, "PreTrainedTokenizerBase"], Rendered]


def vicuna_v1(turns: Turns, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """`SYSTEM USER: question ASSISTANT: answer</s>USER: ...`, as LLaVA-1.5 was trained."""
    text, spans, last = f"{SYSTEM} ", [], 0
    for question, answer in turns:
        text += f"USER: {question} ASSISTANT:"
        last = len(text)
        if answer is not None:
            text += f" {answer}{tokenizer.eos_token}"
            spans.append((last, len(text)))
    return Rendered(text, tuple(spans), last)


def chat(turns: Turns, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """The tokenizer's own chat template.

    Raises:
        ValueError: there is none, or one in which answers cannot be told from the rest, or do not end with
            the tokenizer's end token, at which generation stops.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "the tokenizer has no chat template; set model.data.collate.template=vicuna_v1, or name a "
            "tokenizer that has one (model.tokenizer)"
        )
    messages: list[dict[str, str]] = []
    spans, last = [], 0
    for question, answer in turns:
        messages.append({"role": "user", "content": question})
        last = len(_written(tokenizer, messages, prompt=True))
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
            spans.append((last, _end(_written(tokenizer, messages), last, answer, tokenizer)))
    answered = turns[-1][1] is not None
    text = _written(tokenizer, messages, prompt=not answered)
    for number, (start, _) in enumerate(spans):
        before = _written(tokenizer, messages[: 2 * number + 1], prompt=True)
        if text[:start] != before:
            raise ValueError(
                "the tokenizer's chat template writes earlier turns otherwise once others follow, so answers "
                "have no fixed place; set model.data.collate.template=vicuna_v1"
            )
    return Rendered(text, tuple(spans), last)


def _written(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], prompt: bool = False) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))


def _end(text: str, start: int, answer: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where the answer that starts at `start` ends, its end token included."""
    end = str(tokenizer.eos_token)
    written = text[start:]
    place = len(written) - len(written.lstrip()) + len(answer)
    if written.strip()[: len(answer)] != answer:
        raise ValueError(
            f"the tokenizer's chat template changes the answer {answer[:40]!r} to {written.strip()[:40]!r}; "
            "set model.data.collate.template=vicuna_v1"
        )
    gap = len(written[place:]) - len(written[place:].lstrip())
    if not written[place + gap :].startswith(end):
        raise ValueError(
            f"the tokenizer's chat template ends an answer with {written[place:][:20]!r}, not with the "
            f"end token {end!r}, so generation would not stop; set model.data.collate.template=vicuna_v1"
        )
    return start + place + gap + len(end)


TEMPLATES: dict[str, Template] = {"vicuna_v1": vicuna_v1, "chat": chat}


def jinja_of(template: str, tokenizer: PreTrainedTokenizerBase, begin: str) -> str | None:
    """A template as transformers keeps it beside a tokenizer; None where there is none.

    Contents of messages may be texts, or lists of parts, whose pictures come first, each as `<image>`, and
    then a line break. A first message of the system takes the place of `SYSTEM`.

    Args:
        template: a key of `TEMPLATES`.
        tokenizer: whose end token closes an answer, and whose own template `chat` is.
        begin: the token before everything; empty: none.
    """
    if template == "chat":
        return getattr(tokenizer, "chat_template", None)
    return (
        _VICUNA.replace("BEGIN", json.dumps(begin))
        .replace("END", json.dumps(str(tokenizer.eos_token)))
        .replace("SYSTEM", json.dumps(SYSTEM))
    )


_VICUNA = """\
{%- macro written(content) -%}
{%- if content is string -%}{{ content }}{%- else -%}
{%- set pictures = content | selectattr("type", "equalto", "image") | list -%}
{{ "<image>" * (pictures | length) }}{%- if pictures -%}{{ "\\n" }}{%- endif -%}
{%- for part in content if part.type == "text" -%}{{ part.text }}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{{- BEGIN -}}
{%- if messages and messages[0].role == "system" -%}
{{- written(messages[0].content) + " " -}}{%- set messages = messages[1:] -%}
{%- else -%}{{- SYSTEM + " " -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == "user" -%}{{- "USER: " + written(message.content) -}}
{%- elif message.role == "assistant" -%}{{- " ASSISTANT: " + written(message.content) + END -}}
{%- else -%}{{- raise_exception("a role must be user or assistant, not " + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- " ASSISTANT:" -}}{%- endif -%}
"""
