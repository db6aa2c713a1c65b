"""A question of one's own, worded as the prompt that a network which learned the task expects to read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vl_dora.tasks import subtitles as lines_of
from vl_dora.tasks.choices import chosen, listed

_PLACE = re.compile(r"\{(\w+)\}")
# How the tasks call the place of what is asked.
_ASKED = ("question", "sentence", "text")


@dataclass(frozen=True)
class Wording:
    """One question, in the words of a task.

    Args:
        prompt: what the network reads.
        choices: what the answer may choose from, `aN` being its N-th; empty: the answer is free.
    """

    prompt: str
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> str:
        """The choice that a text names, or else the text itself."""
        number = chosen(text)
        return self.choices[number] if 0 <= number < len(self.choices) else text


def word(
    task: Any,
    *,
    question: str | None,
    prompt: str | None = None,
    choices: Sequence[str] | None = None,
    subtitles: str | None = None,
    moment: str | None = None,
) -> Wording:
    """The prompt of a question.

    Args:
        task: its `template`, or else its `prompt`, is filled, with what its `written` makes of the question;
            one without them (LLaVA's) reads the question as it is.
        question: what is asked, or the statement to be judged; None where the task asks nothing.
        prompt: a template in place of the task's.
        choices: of a multiple-choice question.
        subtitles: of a clip.
        moment: of a clip, `start-end` in seconds.

    Raises:
        ValueError: the prompt has a place for which nothing is given, or none for what is given.
    """
    template = _template(task) if prompt is None else prompt
    there = _PLACE.findall(template)
    asked = next((name for name in there if name in _ASKED), None)
    texts = {"choices": choices, "subtitles": subtitles, "moment": moment}
    strange = [name for name in there if name not in (*_ASKED, *texts)]
    if strange:
        known = ", ".join(f"{{{name}}}" for name in ("question", *texts))
        raise ValueError(f"prompt={template!r} may name {known}; got {{{strange[0]}}}")
    if asked is None and question is not None:
        raise ValueError(
            f"question={question!r} has no place in the prompt {template!r} of task {task.name}; leave it "
            "out, or give prompt='{question}' to ask what the network has not learned"
        )
    if asked is not None and not (question or "").strip():
        raise ValueError(f'question is not set; give question="..." for the prompt {template!r}')
    for name, value in texts.items():
        if value is not None and name not in there:
            raise ValueError(
                f"{name} has no place in the prompt {template!r} of task {task.name}; leave it out"
            )
        if value is None and name in there and name != "subtitles":
            raise ValueError(f"{name} is not set, which the prompt {template!r} of task {task.name} needs")
    if choices is not None and len(choices) < 2:
        raise ValueError(f"choices={list(choices)} must be at least two")
    filled = _filled(task, asked, question, texts)
    spoken = [{"text": (subtitles or "").strip(), "start": 0.0, "end": 0.0}]
    text, _ = lines_of.filled(template, filled, spoken, None)
    return Wording(text, tuple(choices or ()))


def places(task: Any, prompt: str | None = None) -> set[str]:
    """What a prompt is made of besides its own words: question, choices, subtitles, moment."""
    found = _PLACE.findall(_template(task) if prompt is None else prompt)
    return {"question" if name in _ASKED else name for name in found}


def _template(task: Any) -> str:
    return str(getattr(task, "template", None) or getattr(task, "prompt", "{question}"))


def _filled(task: Any, asked: str | None, question: str | None, texts: Mapping[str, Any]) -> dict[str, str]:
    found = {"moment": texts["moment"] or "", "choices": listed(texts["choices"] or ())}
    if asked is not None:
        said = (question or "").strip()
        found[asked] = task.written(said) if hasattr(task, "written") else said
    return found
