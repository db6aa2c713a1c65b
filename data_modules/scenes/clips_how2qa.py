"""The embedded How2QA data set: drawn clips whose speaker gives little away, in VALUE's files.

    <folder>/ann/how2qa/how2qa_train_release.jsonl    and how2qa_val_release, how2qa_test_public_release
    <folder>/ann/how2_subtitles.jsonl
    <folder>/videos/how2/drawn1e0001_0_12.mp4

Things are spoken of by look; four answers each. No clip occurs in two splits; unlike VALUE's, the test
questions come with their answers.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, Clip
from data_modules.scenes.clip_choosing import Chooser, new_clip
from data_modules.scenes.clip_files import PACES, seconds, write_clip, write_lines
from data_modules.scenes.clip_questions import Asked, by_look, questions, with_choices

CHATTER = (
    "hello, look here.",
    "now watch what happens.",
    "lets see it once again.",
    "take your time.",
    "there is the {shape}.",
    "the {colour} one is ready.",
)


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
    subtitles: list[dict[str, Any]] = []
    for number, (split, size) in enumerate({"train": train, "val": val, "test_public": test}.items()):
        random = RandomState((seed + 4000) * 10 + number)
        chooser = Chooser(random)
        rows: list[dict[str, Any]] = []
        for place in range(size):
            clip, pace = new_clip(random, seen), PACES[random.randint(len(PACES))]
            name = f"drawn{number + 1}e{place:04d}_0_{round(BEATS * pace)}"
            write_clip(folder / "videos" / "how2" / f"{name}.mp4", clip, pace)
            subtitles.append({"vid_name": name, "sub": chatter(clip, random, pace)})
            for asked in chooser.choose(questions(clip, by_look(clip)), a_clip):
                rows.append(_row(number * 100_000 + len(rows), name, asked, random, pace))
        write_lines(folder / "ann" / "how2qa" / f"how2qa_{split}_release.jsonl", rows)
    write_lines(folder / "ann" / "how2_subtitles.jsonl", subtitles)


def chatter(clip: Clip, random: RandomState, pace: Fraction) -> list[dict[str, Any]]:
    """One or two lines of a speaker, which answer nothing."""
    actor = clip.actors[random.randint(len(clip.actors))]
    lines = [CHATTER[i] for i in random.permutation(len(CHATTER))[: random.randint(1, 3)]]
    return [
        {
            "text": line.format(shape=actor.shape, colour=actor.colour),
            "start": seconds(i * 3, pace),
            "end": seconds(i * 3 + 2, pace),
        }
        for i, line in enumerate(lines)
    ]


def _row(qid: int, name: str, asked: Asked, random: RandomState, pace: Fraction) -> dict[str, Any]:
    choices, right = with_choices(asked, 4, random)
    first, last = (seconds(beat, pace) for beat in asked.beats)
    return {
        "qid": qid,
        "q": asked.question[0].upper() + asked.question[1:],
        **{f"a{i}": choice for i, choice in enumerate(choices)},
        "answer_idx": right,
        "ts": f"{first}-{last}",
        "vid_name": name,
    }
