"""The embedded folder of questions: drawn pictures with questions.jsonl, and no answers.

<folder>/questions.jsonl      {"question_id": 1, "image": "picture_1.png", "text": "How many ...?"}
<folder>/picture_1.png
"""

from __future__ import annotations

from pathlib import Path

from numpy.random import RandomState

from data_modules.scenes.benchmark_files import Asker, different_scenes, save_scene, write_lines


def write(folder: Path, *, seed: int = 0, pictures: int = 8, questions_per_picture: int = 2) -> None:
    """Draws the world into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        pictures: how many.
        questions_per_picture: of different kinds where the picture allows.
    """
    random = RandomState(seed + 36_000)  # no other world draws from these seeds
    asker = Asker(random)
    rows: list[dict[str, int | str]] = []
    for number, scene in enumerate(different_scenes(random, pictures), start=1):
        name = f"picture_{number}.png"
        save_scene(scene, folder / name)
        for _, question, _ in asker.questions(scene, questions_per_picture):
            rows.append({"question_id": len(rows) + 1, "image": name, "text": question})
    write_lines(folder / "questions.jsonl", rows)
