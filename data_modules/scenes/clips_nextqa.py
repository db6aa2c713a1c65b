"""The embedded NExT-QA data set (multiple choice): drawn clips in the official tables.

    <folder>/train.csv, val.csv, test.csv    video,frame_count,width,height,question,answer,qid,type,a0,…,a4
    <folder>/videos/1000001.mp4

Types: TN and TP (what comes next, what came before), CH (how), DC (count), DL (place), DO (others); nothing
drawn has a reason, so that CW is not asked. No clip occurs in two splits.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, SIDE, Clip
from data_modules.scenes.clip_choosing import Chooser, new_clip
from data_modules.scenes.clip_files import FRAMES_A_BEAT, PACES, write_clip
from data_modules.scenes.clip_questions import Asked, by_look, questions, with_choices

TYPES = {
    "after": "TN",
    "next": "TN",
    "before": "TP",
    "how": "CH",
    "how often": "DC",
    "how many": "DC",
    "where": "DL",
    "color": "DO",
    "who": "DO",
}


def write(
    folder: Path, *, seed: int = 0, train: int = 1500, val: int = 100, test: int = 300, a_clip: int = 4
) -> None:
    """Draws the three splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same stories everywhere.
        train: clips of the training split.
        val: clips of the validation split.
        test: clips of the test split.
        a_clip: questions about each clip, of different kinds where it has so many.
    """
    seen: set[Clip] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, size) in enumerate({"train": train, "val": val, "test": test}.items()):
        random = RandomState((seed + 7000) * 10 + number)
        chooser = Chooser(random)
        rows: list[dict[str, Any]] = []
        for place in range(size):
            clip, pace = new_clip(random, seen), PACES[random.randint(len(PACES))]
            video = 1_000_000 * (number + 1) + place
            write_clip(folder / "videos" / f"{video}.mp4", clip, pace)
            chosen = chooser.choose(questions(clip, by_look(clip)), a_clip)
            rows += [_row(video, qid, asked, random) for qid, asked in enumerate(chosen)]
        with (folder / f"{split}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)


def _row(video: int, qid: int, asked: Asked, random: RandomState) -> dict[str, Any]:
    choices, right = with_choices(asked, 5, random)
    return {
        "video": video,
        "frame_count": BEATS * FRAMES_A_BEAT,
        "width": SIDE,
        "height": SIDE,
        "question": asked.question.removesuffix("?"),
        "answer": right,
        "qid": qid,
        "type": TYPES[asked.kind],
        **{f"a{i}": choice for i, choice in enumerate(choices)},
    }
