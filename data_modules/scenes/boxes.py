"""The world of boxes: pictures in the style of Cornell NLVR with statements, counts and captions.

Every statement is asked of two scenes of which it is true of one and false of the other, often two scenes
that differ in one thing, so its text says nothing about the answer. No human sentence is in here: the
phrases are generated, after study of the training sentences only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from data_modules.scenes import boxes_items, boxes_towers
from data_modules.scenes.boxes_content import condition
from data_modules.scenes.boxes_facts import CELL_CHANNELS, cells, facts
from data_modules.scenes.boxes_meaning import Bank
from data_modules.scenes.boxes_pictures import (
    COLOURS,
    SHAPES,
    Box,
    Scene,
    change,
    is_towers,
    paint,
    scattered,
    towers,
)
from data_modules.scenes.boxes_words import Noun, Speaker, both, spoken
from data_modules.scenes.drawn import Drawn

__all__ = ["CELL_CHANNELS", "Lesson", "fact_names", "lessons", "samples"]

FAMILIES = 32
Question = tuple[str, str, str]
Asked = list[list[Question]]
YES = ("no", "yes")
PLACES = ("first", "second", "third")


@dataclass(frozen=True)
class Lesson:
    """Scenes of one kind, drawn and asked about together.

    Args:
        pixels: (S, 3, 100, 100, 3) uint8.
        cells: (S, 3, 6, 6, C) bool, see CELL_CHANNELS.
        facts: group -> (S, 3, number of facts) bool, see `fact_names`.
        questions: for each scene its (kind, prompt, target) triples.
    """

    pixels: np.ndarray
    cells: np.ndarray
    facts: dict[str, np.ndarray]
    questions: list[tuple[Question, ...]]


def samples(seed: int, count: int) -> Iterator[Drawn]:
    """Samples of three boxes with about a dozen questions each.

    Kinds of questions: `towers` and `items` (statements: prompt `nlvr: ...`, target true or false, as the
    task asks), `boxes` (of which boxes a condition is true: three times yes or no), `count` (how many in
    each box), `caption`.

    Args:
        seed: same seed, same samples.
        count: how many.
    """
    order = np.random.RandomState([seed, 1])
    ready: list[Drawn] = []
    drawn = lessons(seed)
    for _ in range(count):
        if not ready:
            pair = [next(drawn), next(drawn)]
            ready = [
                Drawn(*sample)
                for lesson in pair
                for sample in zip(lesson.pixels, lesson.cells, lesson.questions, strict=True)
            ]
            ready = [ready[i] for i in order.permutation(len(ready))]
        yield ready.pop()


def lessons(seed: int) -> Iterator[Lesson]:
    """Endlessly: a lesson of towers, a lesson of strewn boxes; same seed, same lessons."""
    rng = np.random.RandomState(seed)
    while True:
        yield _lesson(rng, towers)
        yield _lesson(rng, scattered)


def fact_names() -> dict[str, list[str]]:
    """Group -> names of the facts of a `Lesson`, in their order."""
    bank = Bank([towers(np.random.RandomState(0))])
    return {group: names for group, (names, _) in facts(bank).items()}


def _lesson(rng: np.random.RandomState, drawing: Callable[[np.random.RandomState], Scene]) -> Lesson:
    bank = Bank(families(rng, drawing))
    speaker = Speaker(rng, bank.scenes[0])
    asked: Asked = [[] for _ in bank.scenes]
    for _ in range(3 * len(asked)):
        _ask_statement(speaker, bank, asked)
    for number, scene in enumerate(bank.scenes):
        speaker.look(scene)
        for _ in range(2):
            _ask_boxes(speaker, bank, number, asked)
            _ask_count(speaker, bank, number, asked)
        if speaker.chance(50):
            place = speaker.below(3)
            asked[number].append(("caption", f"caption: {PLACES[place]} box", caption(scene[place])))
    return Lesson(
        pixels=np.stack([paint(scene) for scene in bank.scenes]),
        cells=cells(bank),
        facts={group: told for group, (_, told) in facts(bank).items()},
        questions=[tuple(questions) for questions in asked],
    )


def families(rng: np.random.RandomState, drawing: Callable[[np.random.RandomState], Scene]) -> list[Scene]:
    """Scenes of one kind; number i + FAMILIES is number i with one thing changed, or two."""
    scenes = [drawing(rng) for _ in range(FAMILIES)]
    return scenes + [change(rng, change(rng, s) if rng.randint(3) == 0 else s) for s in scenes]


def ask(speaker: Speaker, bank: Bank) -> tuple[str, tuple[int, int]] | None:
    """A statement, and which scene of the bank it is true of and which other it is false of.

    None when the statement drawn is true, or false, of every scene.
    """
    speaker.look(bank.scenes[speaker.below(len(bank.scenes))])
    text, truth = (boxes_towers if bank.towers else boxes_items).statement(speaker)
    true = truth(bank)
    yes, no = np.nonzero(true)[0], np.nonzero(~true)[0]
    if not len(yes) or not len(no):
        return None
    split = np.nonzero(true[:FAMILIES] != true[FAMILIES:])[0]
    if len(split) and speaker.chance(60):
        family = int(split[speaker.below(len(split))])
        one, other = family, family + FAMILIES
        pair = (one, other) if true[one] else (other, one)
    else:
        pair = int(yes[speaker.below(len(yes))]), int(no[speaker.below(len(no))])
    text = " ".join(text.replace(",", " , ").split())
    return (f"{text} ." if speaker.chance(40) else text), pair


def _ask_statement(speaker: Speaker, bank: Bank, asked: Asked) -> None:
    found = ask(speaker, bank)
    if found is not None:
        text, (true, false) = found
        kind = "towers" if bank.towers else "items"
        asked[true].append((kind, f"nlvr: {text}", "true"))
        asked[false].append((kind, f"nlvr: {text}", "false"))


def _ask_boxes(speaker: Speaker, bank: Bank, number: int, asked: Asked) -> None:
    """Of which boxes a condition is true."""
    rule = boxes_towers.condition if bank.towers else condition
    text, boxes = rule(speaker)
    told = boxes(bank)[number]
    if told.any() or speaker.chance(40):
        asked[number].append(("boxes", f"boxes: {spoken(text)}", " ".join(YES[int(t)] for t in told)))


def _ask_count(speaker: Speaker, bank: Bank, number: int, asked: Asked) -> None:
    """How many things of a kind each box holds."""
    noun = speaker.noun(plain=True, shape=not bank.towers)
    if not bank.towers and speaker.chance(50):
        where, there = speaker.touching()
        noun = Noun(f"{noun.one} {where}", f"{noun.many} {where}", both(noun.things, there))
    counts = noun.things(bank)[number].sum(-1)
    asked[number].append(("count", f"count: {spoken(noun.many)}", " ".join(str(int(c)) for c in counts)))


def caption(box: Box) -> str:
    """A tower from the base up, or how many of each coloured shape a box holds."""
    if not box:
        return "nothing"
    if is_towers((box,)):
        return "tower " + " ".join(COLOURS[t.colour] for t in box)
    kinds = sorted((t.colour, t.shape) for t in box)
    parts = [(kinds.count(k), k) for k in sorted(set(kinds))]
    return " , ".join(f"{n} {COLOURS[c]} {SHAPES[s]}" for n, (c, s) in parts)
