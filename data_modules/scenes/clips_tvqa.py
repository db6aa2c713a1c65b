"""The embedded TVQA data set: drawn clips, subtitles that point to one thing, in VALUE's files.

    <folder>/ann/tvqa/tvqa_train.jsonl              tvqa_val.jsonl, tvqa_test_public.jsonl
    <folder>/ann/tv_subtitles.jsonl
    <folder>/videos/tv/drawn_s01e0001_clip_00.mp4

What `it` is in a question is said in the subtitles alone, what happens is seen in the clip alone. No clip
occurs in two splits; unlike VALUE's, the test questions come with their answers.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, Clip
from data_modules.scenes.clip_choosing import Chooser, new_clip
from data_modules.scenes.clip_files import seconds, write_clip, write_lines
from data_modules.scenes.clip_language import pointed_at
from data_modules.scenes.clip_questions import Asked, by_look, questions, with_choices

# One beat a second: a moment's seconds tell its frames, whatever the clip.
PACE = Fraction(1)
SHOWS = {2: "Two at Home", 3: "Three at Home"}


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
        random = RandomState((seed + 3000) * 10 + number)
        chooser = Chooser(random)
        rows: list[dict[str, Any]] = []
        for place in range(size):
            clip = new_clip(random, seen)
            name = f"drawn_s{number + 1:02d}e{place:04d}_clip_00"
            write_clip(folder / "videos" / "tv" / f"{name}.mp4", clip, PACE)
            actor = clip.actors[random.randint(len(clip.actors))]
            subtitles.append({"vid_name": name, "sub": spoken(pointed_at(actor, random), PACE)})
            says = {**by_look(clip), actor: "it"}
            for asked in chooser.choose(questions(clip, says), a_clip):
                rows.append(_row(number * 100_000 + len(rows), name, clip, asked, random))
        write_lines(folder / "ann" / "tvqa" / f"tvqa_{split}.jsonl", rows)
    write_lines(folder / "ann" / "tv_subtitles.jsonl", subtitles)


def spoken(lines: list[str], pace: Fraction) -> list[dict[str, Any]]:
    """Subtitles of a clip: its lines one after the other over its whole length."""
    share = BEATS / len(lines)
    return [
        {"text": line, "start": seconds(i * share, pace), "end": seconds((i + 1) * share, pace)}
        for i, line in enumerate(lines)
    ]


def _row(qid: int, name: str, clip: Clip, asked: Asked, random: RandomState) -> dict[str, Any]:
    choices, right = with_choices(asked, 5, random)
    first, last = (seconds(beat, PACE) for beat in asked.beats)
    return {
        "qid": qid,
        "q": asked.question[0].upper() + asked.question[1:],
        **{f"a{i}": choice[0].upper() + choice[1:] for i, choice in enumerate(choices)},
        "answer_idx": right,
        "ts": f"{first}-{last}",
        "vid_name": name,
        "show_name": SHOWS[len(clip.actors)],
    }
