"""The embedded GQA of LLaVA's evaluation: drawn scenes in the files of `playground/data/eval/gqa`.

<folder>/llava_gqa_testdev_balanced.jsonl
<folder>/data/testdev_balanced_questions.json, testdev_all_questions.json, testdev_choices.json
<folder>/data/images/2200001.png
"""

from __future__ import annotations

import json
from pathlib import Path

from data_modules.scenes import gqa
from data_modules.scenes.benchmark_files import SHORT_ANSWER, write_lines

# No other world draws from these seeds.
_SEEDS = 500


def write(folder: Path, *, seed: int = 0, pictures: int = 120, questions_per_picture: int = 4) -> None:
    """Draws the world into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        pictures: of testdev.
        questions_per_picture: balanced questions, of different kinds where the picture allows.
    """
    data = folder / "data"
    gqa.write(
        data,
        seed=seed + _SEEDS,
        train=0,
        val=0,
        testdev=pictures,
        questions_per_picture=questions_per_picture,
    )
    for name in ("train", "val"):
        (data / f"{name}_balanced_questions.json").unlink()
    questions = json.loads((data / "testdev_balanced_questions.json").read_text())
    rows = [
        {
            "question_id": key,
            "image": f"{row['imageId']}.png",
            "text": f"{row['question']}\n{SHORT_ANSWER}",
            "category": "default",
        }
        for key, row in questions.items()
    ]
    write_lines(folder / "llava_gqa_testdev_balanced.jsonl", rows)
