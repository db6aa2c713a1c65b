"""The embedded VQAv2 of LLaVA's evaluation: drawn scenes in the files of `playground/data/eval/vqav2`.

<folder>/llava_vqav2_mscoco_test-dev2015.jsonl       a part of the questions, which a model answers
<folder>/llava_vqav2_mscoco_test2015.jsonl           all questions, which EvalAI wants
<folder>/v2_mscoco_test-dev2015_annotations.json     ten answers to each of the part
<folder>/test2015/COCO_test2015_000000000001.png
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_modules.scenes import vqa
from data_modules.scenes.benchmark_files import SHORT_ANSWER, write_json, write_lines

# No other world draws from these seeds.
_SEEDS = 500


def write(
    folder: Path, *, seed: int = 0, pictures: int = 150, more: int = 10, questions_per_picture: int = 4
) -> None:
    """Draws the world into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        pictures: of the part that is answered (test-dev).
        more: pictures that only the whole file asks about.
        questions_per_picture: of different kinds where the picture allows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vqa.write(
        folder,
        seed=seed + _SEEDS,
        train=0,
        val=0,
        test=pictures + more,
        composition=0,
        questions_per_picture=questions_per_picture,
    )
    questions = _read(folder / "v2_OpenEnded_mscoco_test2015_questions.json")["questions"]
    annotations = _read(folder / "v2_mscoco_test2015_annotations.json")["annotations"]
    for name in ("train2014", "val2014", "composition", "test2015"):
        (folder / f"v2_OpenEnded_mscoco_{name}_questions.json").unlink()
        (folder / f"v2_mscoco_{name}_annotations.json").unlink()
        if name != "test2015":
            (folder / name).rmdir()
    part = set(sorted({row["image_id"] for row in questions})[:pictures])
    rows = [_asked(row) for row in questions]
    write_lines(folder / "llava_vqav2_mscoco_test2015.jsonl", rows)
    inside = [row for row, one in zip(rows, questions, strict=True) if one["image_id"] in part]
    write_lines(folder / "llava_vqav2_mscoco_test-dev2015.jsonl", inside)
    known = [row for row in annotations if row["image_id"] in part]
    write_json(folder / "v2_mscoco_test-dev2015_annotations.json", {"annotations": known})


def _asked(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "question_id": row["question_id"],
        "image": f"COCO_test2015_{row['image_id']:012d}.png",
        "text": f"{row['question']}\n{SHORT_ANSWER}",
        "category": "default",
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
