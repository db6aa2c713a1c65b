"""A finished run as something that can be asked: weights read once, adapters merged, one answer a call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.batch import Batch, ClipRef


@dataclass(frozen=True)
class Answer:
    """What a network said.

    Args:
        text: the answer; of multiple choice the choice that it names.
        said: what the network wrote.
        prompt: what it read besides pictures, without the template of conversations.
        pictures: the files shown.
        clip: the video shown, with the times of its frames; None: none was.
        seconds: from the loaded pictures to the text.
    """

    text: str
    said: str
    prompt: str
    pictures: tuple[str, ...]
    clip: ClipRef | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {
            "answer": self.text,
            "said": self.said,
            "prompt": self.prompt,
            "images": list(self.pictures),
        }
        if self.clip is not None:
            found["video"] = {"path": self.clip.path, "times": list(self.clip.times or ())}
        return {**found, "seconds": round(self.seconds, 4)}


@dataclass(frozen=True)
class Question:
    """One question.

    Args:
        text: None where the task asks nothing.
        files: pictures and at most one video.
        turns: (prompt, answer) pairs before it, for a network that holds conversations.
        extras: what else a task's prompt names: choices, subtitles, moment; and `prompt`, a template in place
            of the task's.
        frames: of the video; None: as in training.
    """

    text: str | None
    files: tuple[str, ...] = ()
    turns: tuple[tuple[str, str], ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)
    frames: int | None = None


class Answerer:
    """A network of a run, ready to answer.

    Args:
        config: of the run.
        checkpoint: what was trained; None: the base as it is.
        make: the functions of conf/ask.yaml.
        task: which of the tasks that the run learned; None: there is one.

    Attributes:
        network: in evaluation mode, its adapters merged.
        task: whose questions it answers.
        trained: whether anything of it was.
        facts: how much of it, for people to read.
        converses: whether earlier turns can be given.
        most: pictures that the network takes; None: any number.

    Raises:
        ValueError: a checkpoint of another network, no task of that name, or no task where there are several.
    """

    def __init__(
        self, config: DictConfig, checkpoint: Path | None, make: Mapping[str, Any], *, task: str | None = None
    ) -> None:
        from lightning.fabric import Fabric

        from vl_dora.adapters import adapted_layers, merge
        from vl_dora.building import build, plain

        built = build(config if checkpoint is not None else _frozen(config))
        self._data, self._tokenizer, self._make = built.data, built.module.tokenizer, make
        self.task, self._part = _chosen(built.task, task)
        own = built.module.generation_by_task.get(self._part, {})
        self._generation = {**built.module.generation, **own}
        audit = built.module.audit
        self.trained = checkpoint is not None and audit.trainable > 0
        self.facts = (
            f"{audit.trainable:,} of {audit.total:,} parameters trained ({audit.share_percent:.2f} %)"
        )
        if checkpoint is not None and self.trained:
            built.module.load_checkpoint(checkpoint)
        self.network = built.module.network
        if adapted_layers(self.network):
            merge(self.network)
        settings = plain(config.trainer)
        self._fabric = Fabric(accelerator=settings["accelerator"], devices=1, precision=settings["precision"])
        self.network.eval()
        self._fabric.setup_module(self.network)  # moves it, and converts it where precision says so

        own_data = self._data if self._part is None else self._data.parts[self._part]
        self.converses = hasattr(own_data.collate, "template")
        self.most = OmegaConf.select(config, "model.network.max_images")

    def ask(self, question: Question) -> Answer:
        """The answer to one question.

        Raises:
            ValueError: the question does not fit the task or the network, or a file cannot be used.
        """
        if question.files:
            self._refuse_no_tower()
        worded = self._make["word"](self.task, question=question.text, **question.extras)
        asked = self._make["question"](worded.prompt, question.files, question.turns, question.frames)
        batch: Batch = self._make["batch"](self._data, [asked], most=self.most, part=self._part)
        start = time.perf_counter()
        with self._fabric.autocast():
            ids = self.network.generate(batch.to(self._fabric.device), **self._generation)
        (said,) = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        example = batch.examples[0]
        return Answer(
            text=worded.read(said.strip()),
            said=said.strip(),
            prompt=worded.prompt,
            pictures=tuple(ref.path for ref in example.images),
            clip=example.frames,
            seconds=time.perf_counter() - start,
        )

    def _refuse_no_tower(self) -> None:
        if "vision" not in self.network.parts:
            raise ValueError(
                "the run's network reads stored features and has no vision tower, so it cannot see a file; "
                "ask a run of a model with a tower (model=vl_bart_image_tower)"
            )


def _frozen(config: DictConfig) -> DictConfig:
    """The config of the base: every part as it was before training."""
    base = config.copy()
    OmegaConf.set_struct(base, False)
    base.adapter = {part: "frozen" for part in config.adapter}
    return base


def _chosen(task: Any, name: str | None) -> tuple[Any, str | None]:
    """The task to be asked, and its name in a mixture."""
    several = getattr(task, "tasks", None)
    if several is None:
        if name is not None:
            raise ValueError(f"as_task={name}: the run learned one task, {task.name}; leave as_task out")
        return task, None
    if name is None and len(several) == 1:
        (name,) = several
    if name not in several:
        given = "is not set" if name is None else f"is {name}"
        raise ValueError(f"as_task {given}; the run learned {', '.join(several)}, name one of them")
    return several[name], name


def files_of(given: Any) -> tuple[str, ...]:
    """The files that `image` names: one path, several with commas between them, or a list.

    Raises:
        ValueError: neither of these.
    """
    if given is None:
        return ()
    if isinstance(given, Sequence) and not isinstance(given, str):
        wrong: Sequence[Any] = [one for one in given if not isinstance(one, str) or not one.strip()]
        if wrong:
            raise ValueError(f"image={list(given)} must be paths of files")
        return tuple(given)
    text = str(given)
    if not text.strip():
        raise ValueError("image is empty; give the path of a picture or a video, or leave it out")
    if "," in text and not Path(text).expanduser().exists():
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return (text,)
