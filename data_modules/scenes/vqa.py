"""The embedded VQA data set: drawn scenes in VQAv2's official files.

    <folder>/v2_OpenEnded_mscoco_train2014_questions.json
    <folder>/v2_mscoco_train2014_annotations.json            ten answers to each question
    <folder>/train2014/COCO_train2014_000000000001.png

and the same for val2014, test2015 and `composition`, whose pictures hold pairs of colour and
shape that no other picture has. No picture occurs in two splits.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.language import FINE_TUNING
from data_modules.scenes.scene import COLOURS, HELD_OUT, SHAPES, Scene, random_scene

_OTHERS = {
    "yes/no": ("yes", "no"),
    "number": ("0", "1", "2", "3", "4"),
    "color": tuple(COLOURS),
    "shape": SHAPES,
}


def write(
    folder: Path,
    *,
    seed: int = 0,
    train: int = 6000,
    val: int = 300,
    test: int = 1000,
    composition: int = 500,
    questions_per_picture: int = 5,
) -> None:
    """Draws the four splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same files everywhere.
        train: pictures of train2014.
        val: pictures of val2014.
        test: pictures of test2015, whose answers are given too.
        composition: pictures of the held-out composition split.
        questions_per_picture: of different kinds where the picture allows.
    """
    seen: set[Scene] = set()
    sizes = {"train2014": train, "val2014": val, "test2015": test, "composition": composition}
    for number, (name, size) in enumerate(sizes.items()):
        # + 1,000: pretraining draws from small seeds and their neighbours by 10,000.
        random = RandomState((seed + 1000) * 10 + number)
        _write_split(folder, name, size, (number + 1) * 1_000_000, questions_per_picture, random, seen)


def _write_split(
    folder: Path, name: str, size: int, first_id: int, per_picture: int, random: RandomState, seen: set[Scene]
) -> None:
    choice, used = BalancedChoice(FINE_TUNING, random), Counter({kind: 0 for kind in FINE_TUNING})
    (folder / name).mkdir(parents=True, exist_ok=True)
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in range(first_id, first_id + size):
        scene = random_scene(random, held_out=name == "composition")
        while scene in seen:
            scene = random_scene(random, held_out=name == "composition")
        seen.add(scene)
        Image.fromarray(scene.draw()).save(folder / name / f"COCO_{name}_{image_id:012d}.png")
        asked = 0
        for kind in sorted(FINE_TUNING, key=lambda kind: (used[kind], kind)):
            pair = _ask(choice, scene, kind, name == "composition")
            if pair is None or asked == per_picture:
                continue
            used[kind] += 1
            question_id = image_id * 100 + asked
            asked += 1
            question = pair[0][0].upper() + pair[0][1:]
            questions.append({"image_id": image_id, "question": question, "question_id": question_id})
            annotations.append(_annotation(question_id, image_id, kind, pair[1], random))
    head = {
        "data_type": "mscoco",
        "data_subtype": name,
        "info": {"description": "drawn scenes"},
        "license": {},
    }
    _dump(
        folder / f"v2_OpenEnded_mscoco_{name}_questions.json",
        {**head, "task_type": "Open-Ended", "questions": questions},
    )
    _dump(folder / f"v2_mscoco_{name}_annotations.json", {**head, "annotations": annotations})


def _ask(choice: BalancedChoice, scene: Scene, kind: str, compositional: bool) -> tuple[str, str] | None:
    """A pair of `kind`; about a held-out thing of the scene where the kind names things."""
    if compositional:
        for thing in scene.unique_things():
            if thing.pair in HELD_OUT:
                pair = choice.choose(scene, kind, must_name=thing.name)
                if pair:
                    return pair
    return choice.choose(scene, kind)


def _annotation(
    question_id: int, image_id: int, kind: str, answer: str, random: RandomState
) -> dict[str, Any]:
    """Ten answers; in one question of ten a single annotator errs, as people do."""
    family = next(
        family
        for family, words in _OTHERS.items()
        if answer in words or (family == "number" and answer.isdigit())
    )
    given = [answer] * 10
    if random.randint(10) == 0:
        others = [word for word in _OTHERS[family] if word != answer]
        given[random.randint(10)] = others[random.randint(len(others))]
    return {
        "question_id": question_id,
        "image_id": image_id,
        "question_type": kind,
        "answer_type": family if family in ("yes/no", "number") else "other",
        "multiple_choice_answer": answer,
        "answers": [
            {"answer": word, "answer_confidence": "yes", "answer_id": number + 1}
            for number, word in enumerate(given)
        ],
    }


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))
