"""What the drawn worlds of LLaVA's benchmarks share: scenes, questions about them, files of lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.language import FINE_TUNING
from data_modules.scenes.scene import COLOURS, SHAPES, Scene, random_scene

SHORT_ANSWER = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."
NUM_HUMANS = 10


def different_scenes(random: RandomState, count: int) -> list[Scene]:
    """`count` scenes, no two the same."""
    found: dict[Scene, None] = {}
    while len(found) < count:
        found.setdefault(random_scene(random))
    return list(found)


def save_scene(scene: Scene, path: Path) -> None:
    """Writes the picture of a scene; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene.draw()).save(path)


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json(path: Path, content: Any) -> None:
    """One JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


class Asker:
    """Asks every kind of question about as often, and no answer of a kind much oftener than another.

    Args:
        random: the stream to draw from.
    """

    def __init__(self, random: RandomState) -> None:
        self._choice = BalancedChoice(FINE_TUNING, random)
        self._used = Counter({kind: 0 for kind in FINE_TUNING})

    def questions(self, scene: Scene, count: int) -> Iterator[tuple[str, str, str]]:
        """At most `count` (kind, question, answer) of different kinds, the question with a capital."""
        asked = 0
        for kind in sorted(FINE_TUNING, key=lambda kind: (self._used[kind], kind)):
            pair = self._choice.choose(scene, kind)
            if pair is None or asked == count:
                continue
            self._used[kind] += 1
            asked += 1
            yield kind, pair[0][0].upper() + pair[0][1:], pair[1]


def answer_type(answer: str) -> str:
    """VQA's word for the kind of an answer."""
    return "yes/no" if answer in ("yes", "no") else "number" if answer.isdigit() else "other"


def pairs_of(scene: Scene) -> list[tuple[str, str]]:
    """Colour and shape of its things, each pair once, in reading order."""
    return list(dict.fromkeys(thing.pair for thing in scene.things))


def every_pair() -> list[tuple[str, str]]:
    """All pairs of colour and shape."""
    return [(colour, shape) for colour in COLOURS for shape in SHAPES]


def with_article(words: str) -> str:
    """`a red circle`, `an orange cross`."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
