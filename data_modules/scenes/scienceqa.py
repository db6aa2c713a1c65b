"""The embedded ScienceQA: multiple choice with and without pictures, in the files of LLaVA's evaluation.

    <folder>/llava_test_CQM-A.json
    <folder>/problems.json                 hints, lectures, subjects, grades, topics
    <folder>/pid_splits.json
    <folder>/images/test/3/image.png

Four kinds: what is in a picture (natural science), what lies further north in a picture (social science, with
a hint), the same of a map that is told in words (text only, with a hint), and which word comes first in the
alphabet (language science, text only).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.benchmark_files import (
    different_scenes,
    every_pair,
    pairs_of,
    save_scene,
    write_json,
)
from data_modules.scenes.scene import COLOURS, HELD_OUT, SHAPES, SIZES, Scene

LETTERS = "ABCDE"


@dataclass(frozen=True)
class Problem:
    """One problem; the first of `choices` is right, the order is drawn later."""

    question: str
    choices: tuple[str, ...]
    subject: str
    topic: str
    lecture: str
    hint: str = ""
    shown: bool = True


def write(folder: Path, *, seed: int = 0, test: int = 160, val: int = 8) -> None:
    """Draws the world into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        test: problems of the test split, which LLaVA's file asks.
        val: problems of the validation split.
    """
    random = RandomState(seed + 34_000)  # no other world draws from these seeds
    problems: dict[str, dict[str, Any]] = {}
    splits: dict[str, list[str]] = {"test": [], "val": []}
    asked: list[dict[str, Any]] = []
    for number, scene in enumerate(different_scenes(random, test + val), start=1):
        split, name = ("test" if number <= test else "val"), str(number)
        problem = KINDS[number % len(KINDS)](scene, random)
        order = random.permutation(len(problem.choices))
        choices = [problem.choices[i] for i in order]
        answer = int(list(order).index(0))
        if problem.shown:
            save_scene(scene, folder / "images" / split / name / "image.png")
        problems[name] = {
            "question": problem.question,
            "choices": choices,
            "answer": answer,
            "hint": problem.hint,
            "image": "image.png" if problem.shown else None,
            "task": "closed choice",
            "grade": f"grade{2 + number % 7}",
            "subject": problem.subject,
            "topic": problem.topic,
            "category": problem.topic,
            "skill": problem.question,
            "lecture": problem.lecture,
            "solution": f"The answer is {choices[answer]}.",
            "split": split,
        }
        splits[split].append(name)
        if split == "test":
            asked.append(_asked(name, problems[name]))
    write_json(folder / "problems.json", problems)
    write_json(folder / "pid_splits.json", splits)
    write_json(folder / "llava_test_CQM-A.json", asked)


def _asked(name: str, problem: dict[str, Any]) -> dict[str, Any]:
    """LLaVA's row: context, question, options; the picture's token stands last."""
    options = " ".join(f"({letter}) {c}" for letter, c in zip(LETTERS, problem["choices"], strict=False))
    text = f"Context: {problem['hint'] or 'N/A'}\nQuestion: {problem['question']}\nOptions: {options}"
    said = f"The answer is {LETTERS[problem['answer']]}."
    shown = problem["image"] is not None
    turns = [
        {"from": "human", "value": f"{text}\n<image>" if shown else text},
        {"from": "gpt", "value": said},
    ]
    image = {"image": f"{name}/{problem['image']}"} if shown else {}
    return {"id": name, **image, "conversations": turns}


def _contents(scene: Scene, random: RandomState) -> Problem:
    """Which of four things is there."""
    there = pairs_of(scene)
    others = [pair for pair in every_pair() if pair not in there and pair not in HELD_OUT]
    wrong = [others[i] for i in random.permutation(len(others))[:3]]
    names = [f"{' '.join(pair)}" for pair in (there[random.randint(len(there))], *wrong)]
    lecture = "A thing has a color and a shape."
    return Problem("Which thing is there?", tuple(names), "natural science", "physics", lecture)


def _size(scene: Scene, random: RandomState) -> Problem:
    """The size of a thing; small or large."""
    things = scene.unique_things() or list(scene.things[:1])
    thing = things[random.randint(len(things))]
    sizes = sorted(SIZES, key=lambda size: size != thing.size)
    lecture = "A thing is small or large."
    return Problem(f"What size is the {thing.name}?", tuple(sizes), "natural science", "physics", lecture)


_NORTH = "A map shows where things are. North is up, so what is above is further north."


def _map(scene: Scene, random: RandomState) -> Problem:
    """Which of two things of the picture is further north."""
    things = scene.unique_things()
    pairs = [(a, b) for a in things for b in things if a.row < b.row]
    if not pairs:
        return _size(scene, random)
    north, south = pairs[random.randint(len(pairs))]
    hint = "The picture is a map. Up is north."
    return Problem(
        "Which is further north?",
        (f"the {north.name}", f"the {south.name}"),
        "social science",
        "geography",
        _NORTH,
        hint,
    )


def _told_map(scene: Scene, random: RandomState) -> Problem:
    """The same of a map in words; no picture."""
    names = [" ".join(pair) for pair in every_pair()]
    north, south = (names[i] for i in random.permutation(len(names))[:2])
    told = (north, "above", south) if random.randint(2) else (south, "below", north)
    hint = f"Up is north. The {told[0]} is {told[1]} the {told[2]}."
    choices = (f"the {north}", f"the {south}")
    question = "Which is further north?"
    return Problem(question, choices, "social science", "geography", _NORTH, hint, shown=False)


def _alphabet(scene: Scene, random: RandomState) -> Problem:
    """Which of three words comes first; no picture, no hint."""
    words = [*COLOURS, *SHAPES]
    chosen = sorted(words[i] for i in random.permutation(len(words))[:3])
    lecture = "Words are put in order by their letters."
    question = "Which word comes first in the alphabet?"
    return Problem(question, tuple(chosen), "language science", "vocabulary", lecture, shown=False)


KINDS: tuple[Callable[[Scene, RandomState], Problem], ...] = (_contents, _map, _told_map, _size, _alphabet)
