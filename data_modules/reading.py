"""From the rows of an official file to examples that are fit for use.

Whatever is wrong with one sample passes through `BadSamples`, which either stops or counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data_modules.collate import Collate
from vl_dora.batch import ClipRef, Example, ImageRef
from vl_dora.tasks.interface import Task

log = logging.getLogger(__name__)

NAMED = 3  # how many bad samples a message spells out
CHUNK = 4096  # texts tokenized at once


class FileFormat(Protocol):
    """A reader of one official file format."""

    def splits(self, root: Path) -> tuple[str, ...]:
        """Names of the splits found in a data folder."""
        ...

    def rows(self, root: Path, split: str) -> Iterable[tuple[Mapping[str, Any], str]]:
        """(row, "file, row N") in file order."""
        ...


class Visuals(Protocol):
    """Where the arrays of pictures and clips come from."""

    def check(self, ref: ImageRef | ClipRef) -> None:
        """Raises ValueError when the picture or clip is not there; cheap."""
        ...

    def load(self, ref: ImageRef) -> np.ndarray:
        """(3, height, width) uint8 pixels or (N, F) features."""
        ...

    def load_clip(self, ref: ClipRef) -> tuple[ClipRef, np.ndarray]:
        """The clip with what is shown of it, and an array of `load`'s kind for each frame."""
        ...


@dataclass
class BadSamples:
    """Stops at the first bad sample, or counts them up to a limit.

    Args:
        split: the split being read, for messages.
        on_error: "raise" or "skip".
        max_skipped: how many may be left out of one split.

    Attributes:
        messages: one sentence for every sample left out, in order.
    """

    split: str
    on_error: str
    max_skipped: int
    messages: list[str] = field(default_factory=list)

    def add(self, message: str) -> None:
        """Takes note of one bad sample.

        Raises:
            ValueError: the message itself under "raise"; under "skip" once there are too many.
        """
        if self.on_error == "raise":
            raise ValueError(message) from None
        self.messages.append(message)
        if len(self.messages) > self.max_skipped:
            raise ValueError(
                f"split {self.split}: more than data.max_skipped={self.max_skipped} bad samples; "
                f"the first: {self._first()}"
            ) from None

    def report(self, num_samples: int) -> None:
        """Logs how many of `num_samples` were left out, and names the first."""
        if self.messages:
            log.warning(
                "data.on_error=skip left out %d of %d samples of split %s; the first: %s",
                len(self.messages),
                num_samples,
                self.split,
                self._first(),
            )

    def _first(self) -> str:
        return "; ".join(self.messages[:NAMED])


def read_examples(
    files: FileFormat, root: Path, split: str, task: Task, bad: BadSamples
) -> list[tuple[Example, str]]:
    """Every row of a split as (example, "file, row N"); ids are unique."""
    found: list[tuple[Example, str]] = []
    places: dict[str, str] = {}
    for row, where in files.rows(root, split):
        try:
            example = task.example(row)
        except KeyError as error:
            bad.add(f"{where}: field {error} is missing")
            continue
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            bad.add(f"{where}: not a row of task {task.name}: {error}")
            continue
        if example.id in places:
            bad.add(f"{where}: id {example.id!r} occurs twice, first in {places[example.id]}")
            continue
        places[example.id] = where
        found.append((example, where))
    return found


@dataclass(frozen=True)
class Places:
    """Where the rows stand that show a picture or clip; they are read again, for nobody keeps it in mind.

    Args:
        files: the reader.
        root: the data folder.
        task: makes examples of rows.
        splits: names of the splits that are looked through.
    """

    files: FileFormat
    root: Path
    task: Task
    splits: tuple[str, ...]

    def of(self, ref: ImageRef | ClipRef) -> str | None:
        """The first such row, "file, row N"; None where there is none."""
        for split in self.splits:
            for row, where in self.files.rows(self.root, split):
                try:
                    shown = self.task.example(row).visuals
                except (KeyError, ValueError, TypeError, AttributeError, IndexError):
                    continue  # left out by data.on_error=skip
                if ref in shown:
                    return where
        return None


@contextmanager
def placed(places: Places | None, ref: ImageRef | ClipRef) -> Iterator[None]:
    """Puts "file, row N" before the error of a picture or clip, where it is known.

    Raises:
        ValueError: the error, of its own kind.
    """
    try:
        yield
    except ValueError as error:
        where = None if places is None else places.of(ref)
        raise type(error)(f"{where}: {error}" if where else str(error)) from None


def drawn_subset(
    samples: list[tuple[Example, str]], limit: int | None, seed: int
) -> list[tuple[Example, str]]:
    """A random `limit` of the samples in their own order; all of them when `limit` is None."""
    if limit is None or limit >= len(samples):
        return samples
    chosen = np.random.default_rng([seed, limit]).permutation(len(samples))[:limit]
    return [samples[i] for i in sorted(chosen)]


def with_targets(samples: list[tuple[Example, str]], bad: BadSamples) -> list[tuple[Example, str]]:
    """The samples that can be learned: a target text, or target scores in 0..1 not all zero."""
    kept = []
    for example, where in samples:
        scores = [score for _, score in example.targets]
        if not all(0 <= score <= 1 for score in scores):
            bad.add(f"{where}: sample {example.id!r} has target scores {scores} outside 0..1")
        elif scores and not any(scores):
            bad.add(f"{where}: sample {example.id!r} has no target with a score above 0")
        elif not scores and not example.target:
            bad.add(f"{where}: sample {example.id!r} has no target to learn")
        else:
            kept.append((example, where))
    return kept


def with_visuals(
    samples: list[tuple[Example, str]], visuals: Visuals, bad: BadSamples
) -> list[tuple[Example, str]]:
    """The samples whose pictures and clips can be used.

    With "raise" every file must be there, and is decoded when it is needed; with "skip"
    each is also decoded once here, so that what is left out is known before the first step.
    """
    problems: dict[ImageRef | ClipRef, str | None] = {}
    kept = []
    for example, where in samples:
        for ref in example.visuals:
            if ref not in problems:
                problems[ref] = _problem(visuals, ref, decode=bad.on_error == "skip")
            if problems[ref]:
                bad.add(f"{where}: {problems[ref]}")
                break
        else:
            kept.append((example, where))
    return kept


def _problem(visuals: Visuals, ref: ImageRef | ClipRef, *, decode: bool) -> str | None:
    try:
        visuals.check(ref)
        if decode:
            visuals.load_clip(ref) if isinstance(ref, ClipRef) else visuals.load(ref)
    except ValueError as error:
        return str(error)
    return None


def with_fitting_texts(
    samples: list[tuple[Example, str]], collate: Collate, bad: BadSamples, *, training: bool
) -> list[tuple[Example, str]]:
    """The samples whose texts the token limits allow; what is or will be cut is counted and logged."""
    prompts = _lengths([[e.prompt] for e, _ in samples], collate, "prompt")
    wanted = [[t for t, _ in e.targets] if training and e.targets else [e.target] for e, _ in samples]
    targets = _lengths(wanted, collate, "target")
    kept, shortened = [], {"prompt": 0, "target": 0}
    spared: list[int] = []
    for (example, where), *lengths in zip(samples, prompts, targets, strict=True):
        problem = None
        shorter = (
            collate.shortened(example) if collate.too_long(lengths[0], example.id, "prompt") else example
        )
        num_spared = len(example.spare) - len(shorter.spare)
        if num_spared:
            example = shorter
            lengths[0] = len(collate.encode_prompts([example.prompt])[0])
        for kind, length in zip(shortened, lengths, strict=True):
            long = collate.too_long(length, example.id, kind)
            shortened[kind] += long is not None
            problem = problem or long
        if problem and collate.on_long != "truncate":
            bad.add(f"{where}: {problem}")
        else:
            spared += [num_spared] if num_spared else []
            # Of a prompt that fits nothing goes any more, and thousands of places weigh on every process.
            kept.append((replace(example, spare=()) if example.spare else example, where))
    if spared:
        log.warning(
            "data.on_long=shorten leaves out %d lines of the prompts of %d of %d samples of split %s",
            sum(spared),
            len(spared),
            len(samples),
            bad.split,
        )
    for kind, count in shortened.items():
        if count and collate.on_long == "truncate":
            log.warning(
                "data.on_long=truncate shortens the %s of %d of %d samples of split %s",
                kind,
                count,
                len(samples),
                bad.split,
            )
    return kept


def _lengths(texts: Sequence[Sequence[str]], collate: Collate, kind: str) -> list[int]:
    """Tokens of the longest of each row of texts; every distinct text is tokenized once."""
    encode = collate.encode_prompts if kind == "prompt" else collate.encode_targets
    distinct = sorted({text for row in texts for text in row})
    lengths: dict[str, int] = {}
    for start in range(0, len(distinct), CHUNK):
        chunk = distinct[start : start + CHUNK]
        lengths.update(zip(chunk, map(len, encode(chunk)), strict=True))
    return [max(lengths[text] for text in row) for row in texts]
