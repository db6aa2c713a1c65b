"""The base and the tuned network of a run side by side: who answers what on the page of `chat_page`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.answering import Answerer, Question
from vl_dora.chat_page import Asked, Side, served

_PLACEHOLDERS = {
    "choices": "one | another | a third",
    "subtitles": "what is said in the video",
    "moment": "start-end in seconds, such as 3.5-8",
}


@dataclass
class Memory:
    """What one visitor's conversation rests on.

    Args:
        files: shown last; they stay until others are.
        turns: side -> (prompt, answer) pairs so far, for networks that hold conversations.
    """

    files: tuple[str, ...] = ()
    turns: dict[int, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Respondents:
    """Networks that answer the same questions, each with a conversation of its own.

    Args:
        answerers: left to right.
        extras: what holds for every question, see `Question`.
    """

    answerers: Sequence[Answerer]
    extras: Mapping[str, Any]

    def __call__(self, asked: Asked, memory: Memory) -> Iterator[tuple[str, float] | ValueError]:
        """An answer a network, or why there is none; new files begin a new conversation."""
        if asked.files:
            memory.files, memory.turns = asked.files, {}
        extras = {**self.extras, **asked.extras}
        if isinstance(extras.get("choices"), str):
            extras["choices"] = [part.strip() for part in extras["choices"].split("|") if part.strip()]
        for number, answerer in enumerate(self.answerers):
            turns = memory.turns.setdefault(number, [])
            question = Question(asked.text or None, memory.files, tuple(turns), extras)
            try:
                found = answerer.ask(question)
            except ValueError as error:
                yield error
                continue
            if answerer.converses:
                turns.append((found.prompt, found.said))
            yield found.text, found.seconds


def serve(
    config: DictConfig,
    checkpoint: Path,
    make: Mapping[str, Any],
    *,
    task: str | None,
    extras: Mapping[str, Any],
    host: str,
    port: int,
) -> None:
    """Serves the page until it is interrupted.

    Args:
        config: of the run.
        checkpoint: of the tuned network.
        make: the functions of conf/ask.yaml.
        task: which of several that the run learned.
        extras: of every question.
        host: that the server listens on.
        port: 0: any that is free.

    Raises:
        ValueError: gradio is not installed, or the port is taken.
    """
    with page_of(config, checkpoint, make, task=task, extras=extras, host=host, port=port) as address:
        sys.stdout.write(f"{address}   (Ctrl-C ends it)\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def page_of(
    config: DictConfig,
    checkpoint: Path,
    make: Mapping[str, Any],
    *,
    task: str | None,
    extras: Mapping[str, Any],
    host: str,
    port: int,
) -> AbstractContextManager[str]:
    """The served page of a run, see `chat_page.served`; a run that trained nothing has one side."""
    if find_spec("gradio") is None:
        raise ValueError("demo=true needs gradio, which is not installed: pip install 'vl-dora[demo]'")
    base = Answerer(config, None, make, task=task)
    tuned = Answerer(config, checkpoint, make, task=task)
    run = Path(str(config.paths.run_dir))
    sides = [Side("Base", "before training")]
    answerers = [base]
    if tuned.trained:
        sides.append(Side("Tuned", f"after {run.name}"))
        answerers.append(tuned)
    places = make["places"](tuned.task, extras.get("prompt"))
    given = {name: value for name, value in extras.items() if value is not None}
    fields = {name: text for name, text in _PLACEHOLDERS.items() if name in places and name not in given}
    hint = (
        "Ask, and add a picture or a video with the paper clip"
        if "question" in places
        else "Add a picture or a video with the paper clip, and send; this task asks nothing in words"
    )
    model = OmegaConf.select(config, "model.base") or "random weights"
    return served(
        f"Ask {run.name}",
        f"task {tuned.task.name} · base {model} · {tuned.facts}",
        sides,
        Respondents(answerers, given),
        new_memory=Memory,
        fields=fields,
        hint=hint,
        host=host,
        port=port,
    )
