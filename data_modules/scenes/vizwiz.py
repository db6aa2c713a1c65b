"""The embedded VizWiz: pictures some of which show nothing, in the files of `playground/data/eval/vizwiz`.

    <folder>/llava_test.jsonl
    <folder>/test.json                            with answers, which the real test keeps to itself
    <folder>/test/VizWiz_test_00000000.png

A question cannot be answered where the picture is far too dark, or where the thing it names is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.benchmark_files import (
    NUM_HUMANS,
    SHORT_ANSWER,
    Asker,
    answer_type,
    different_scenes,
    every_pair,
    pairs_of,
    write_json,
    write_lines,
)
from data_modules.scenes.scene import HELD_OUT, Scene

INSUFFICIENT = "When the provided information is insufficient, respond with 'Unanswerable'."
UNANSWERABLE = "unanswerable"
_OTHERS = {"yes/no": ("yes", "no"), "number": tuple("0123456"), "other": (UNANSWERABLE,)}


def write(folder: Path, *, seed: int = 0, pictures: int = 200) -> None:
    """Draws the world into `folder`; of every ten questions three cannot be answered.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        pictures: how many, a question each.
    """
    random = RandomState(seed + 32_000)  # no other world draws from these seeds
    asker = Asker(random)
    (folder / "test").mkdir(parents=True, exist_ok=True)
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(different_scenes(random, pictures)):
        name = f"VizWiz_test_{number:08d}.png"
        pixels = scene.draw()
        _, question, answer = next(asker.questions(scene, 1))
        if number % 10 in (3, 6):
            # So dark that all tones of a picture meet in two or three steps.
            pixels, answer = (pixels // 100).astype(np.uint8), UNANSWERABLE
        elif number % 10 == 9:
            question, answer = f"What size is the {_absent(scene, random)}?", UNANSWERABLE
        Image.fromarray(pixels).save(folder / "test" / name)
        annotations.append(_annotation(name, question, answer, random))
    write_json(folder / "test.json", annotations)
    write_lines(
        folder / "llava_test.jsonl",
        (
            {
                "question_id": number,
                "image": row["image"],
                "text": f"{row['question']}\n{INSUFFICIENT}\n{SHORT_ANSWER}",
                "category": "default",
            }
            for number, row in enumerate(annotations)
        ),
    )


def _absent(scene: Scene, random: RandomState) -> str:
    """The name of a thing that other pictures hold."""
    pairs = [pair for pair in every_pair() if pair not in HELD_OUT and pair not in pairs_of(scene)]
    return " ".join(pairs[random.randint(len(pairs))])


def _annotation(image: str, question: str, answer: str, random: RandomState) -> dict[str, Any]:
    """Ten answers; of one question in five a single person says something else."""
    kind = UNANSWERABLE if answer == UNANSWERABLE else answer_type(answer)
    given = [answer] * NUM_HUMANS
    if random.randint(5) == 0:
        others = [word for word in _OTHERS.get(kind, ("unsuitable",)) if word != answer]
        given[random.randint(NUM_HUMANS)] = others[random.randint(len(others))]
    return {
        "image": image,
        "question": question,
        "answers": [{"answer": word, "answer_confidence": "yes"} for word in given],
        "answer_type": kind,
        "answerable": int(answer != UNANSWERABLE),
    }
