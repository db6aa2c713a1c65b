"""The embedded GQA data set: drawn scenes in GQA's official files.

    <folder>/train_balanced_questions.json      {"2000001000": {"imageId": ..., "question": ..., ...}, ...}
    <folder>/val_balanced_questions.json
    <folder>/testdev_balanced_questions.json
    <folder>/testdev_all_questions.json         also what the balanced questions entail (isBalanced false)
    <folder>/testdev_choices.json               {id: {"valid": [...], "plausible": [...]}} of all questions
    <folder>/images/2000001.png

No picture occurs in two splits.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.gqa_questions import ENTAILED_TYPES, KINDS, Asked
from data_modules.scenes.scene import COLOURS, SHAPES, Scene, random_scene

_VALID = {"color": list(COLOURS), "shape": list(SHAPES), None: ["yes", "no"]}


def write(
    folder: Path,
    *,
    seed: int = 0,
    train: int = 5000,
    val: int = 200,
    testdev: int = 500,
    questions_per_picture: int = 6,
) -> None:
    """Draws the splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same files everywhere.
        train: pictures of train.
        val: pictures of val.
        testdev: pictures of testdev.
        questions_per_picture: balanced questions, of different kinds where the picture allows.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    seen: set[Scene] = set()
    for number, (name, size) in enumerate({"train": train, "val": val, "testdev": testdev}.items()):
        # + 2,000: no other world draws from these seeds.
        random = RandomState((seed + 2000) * 10 + number)
        first = 2_000_000 + number * 100_000
        questions = _draw(folder, range(first, first + size), questions_per_picture, random, seen)
        balanced = {key: row for key, row in questions.items() if row["isBalanced"]}
        _dump(folder / f"{name}_balanced_questions.json", balanced)
        if name == "testdev":
            _dump(folder / f"{name}_all_questions.json", questions)
            scopes = {key: _choices(row) for key, row in questions.items()}
            _dump(folder / f"{name}_choices.json", scopes)


def _draw(
    folder: Path, image_ids: range, per_picture: int, random: RandomState, seen: set[Scene]
) -> dict[str, dict[str, Any]]:
    kinds = {name: _pairs(name) for name in KINDS}
    choice, used = BalancedChoice(kinds, random), Counter({name: 0 for name in KINDS})
    rows: dict[str, dict[str, Any]] = {}
    for image_id in image_ids:
        scene = random_scene(random)
        while scene in seen:
            scene = random_scene(random)
        seen.add(scene)
        Image.fromarray(scene.draw()).save(folder / "images" / f"{image_id}.png")
        chosen: list[tuple[str, Asked]] = []
        for kind in sorted(KINDS, key=lambda kind: (used[kind], kind)):
            pair = choice.choose(scene, kind) if len(chosen) < per_picture else None
            if pair is not None:
                used[kind] += 1
                asked = next(a for a in KINDS[kind].list_all(scene) if a.question == pair[0])
                chosen.append((kind, asked))
        rows |= _rows(image_id, chosen)
    return rows


def _pairs(kind: str) -> Any:
    return lambda scene: [(asked.question, asked.answer) for asked in KINDS[kind].list_all(scene)]


def _rows(image_id: int, chosen: list[tuple[str, Asked]]) -> dict[str, dict[str, Any]]:
    """The official rows of one picture: what was chosen, then what that entails and is not asked yet."""
    numbers: dict[str, str] = {}
    everything = [*chosen, *(pair for _, asked in chosen for pair in asked.entailed)]
    rows: dict[str, dict[str, Any]] = {}
    for place, (kind, asked) in enumerate(everything):
        if asked.question in numbers:
            continue
        key = numbers[asked.question] = f"{image_id}{len(numbers):03d}"
        rows[key] = _row(image_id, kind, asked, balanced=place < len(chosen))
    for _, asked in chosen:
        entailed = [numbers[asked.question], *(numbers[other.question] for _, other in asked.entailed)]
        rows[numbers[asked.question]]["entailed"] = entailed
    for key, row in rows.items():
        row["entailed"] = row["entailed"] or [key]
        row["equivalent"] = [key]
    return rows


def _row(image_id: int, kind: str, asked: Asked, *, balanced: bool) -> dict[str, Any]:
    structural, semantic = ENTAILED_TYPES.get(kind, ("", ""))
    group = None
    if kind in KINDS:
        structural, semantic, group = KINDS[kind].structural, KINDS[kind].semantic, KINDS[kind].group
    question = asked.question[0].upper() + asked.question[1:]
    return {
        "imageId": str(image_id),
        "question": question,
        "answer": asked.answer,
        "fullAnswer": f"{asked.answer[0].upper()}{asked.answer[1:]}.",
        "isBalanced": balanced,
        "types": {"structural": structural, "semantic": semantic, "detailed": kind},
        "groups": {"global": group, "local": f"{kind}-{asked.steps[0][1]}"},
        "semantic": [
            {"operation": operation, "dependencies": [place - 1] if place else [], "argument": argument}
            for place, (operation, argument) in enumerate(asked.steps)
        ],
        "semanticStr": "->".join(
            f"{operation}: {argument} [{place - 1 if place else ''}]"
            for place, (operation, argument) in enumerate(asked.steps)
        ),
        "entailed": [],
        "equivalent": [],
    }


def _choices(row: dict[str, Any]) -> dict[str, list[str]]:
    """What could be answered at all, and what makes sense: GQA's validity and plausibility lists."""
    operation, argument = row["semantic"][-1]["operation"], row["semantic"][-1]["argument"]
    if operation.startswith("choose"):
        offered = argument.split("|")
        return {"valid": offered, "plausible": offered}
    valid = _VALID[row["groups"]["global"]]
    return {"valid": valid, "plausible": valid}


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))
