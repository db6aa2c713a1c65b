"""The embedded YouCook2 captioning data set: each clip is a step of a recipe, in VALUE's files.

    <folder>/ann/yc2c/yc2c_train_release.jsonl      yc2c_val_release.jsonl, yc2c_test_release.jsonl
    <folder>/ann/yc2_subtitles.jsonl
    <folder>/videos/yc2/drawn1step0001.mp4

A step is told as an instruction, one caption a clip as in YouCook2. No clip occurs in two splits; unlike
VALUE's, the test clips come with their captions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, Actor, Clip
from data_modules.scenes.clip_choosing import new_clip
from data_modules.scenes.clip_files import PACES, seconds, write_clip, write_lines
from data_modules.scenes.clip_language import TIMES
from data_modules.scenes.clips_how2qa import chatter


def write(folder: Path, *, seed: int = 0, train: int = 2500, val: int = 100, test: int = 400) -> None:
    """Draws the three splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same stories everywhere.
        train: clips of the training split.
        val: clips of the validation split.
        test: clips of the test split.
    """
    seen: set[Clip] = set()
    subtitles: list[dict[str, Any]] = []
    for number, (split, size) in enumerate({"train": train, "val": val, "test": test}.items()):
        random = RandomState((seed + 6000) * 10 + number)
        rows: list[dict[str, Any]] = []
        for place in range(size):
            clip, pace = new_clip(random, seen), PACES[random.randint(len(PACES))]
            name = f"drawn{number + 1}step{place:04d}"
            write_clip(folder / "videos" / "yc2" / f"{name}.mp4", clip, pace)
            subtitles.append({"vid_name": name, "sub": chatter(clip, random, pace)})
            end, row = seconds(BEATS, pace), number * 100_000 + place
            desc = {"desc": recipe(clip), "desc_id": row, "type": "v"}
            rows.append(
                {"vid_name": name, "duration": end, "ts": [0.0, end], "clip_id": row, "descs": [desc]}
            )
        write_lines(folder / "ann" / "yc2c" / f"yc2c_{split}_release.jsonl", rows)
    write_lines(folder / "ann" / "yc2_subtitles.jsonl", subtitles)


def recipe(clip: Clip) -> str:
    """All that happens, as instructions in the order of time."""
    return " and then ".join(_instruction(actor) for actor in clip.doing())


def _instruction(actor: Actor) -> str:
    event = actor.event
    assert event is not None
    if event.action == "moves":
        return f"{event.speed} move the {actor.name} {event.direction}"
    if event.action in ("jumps", "blinks"):
        return f"let the {actor.name} {event.action.removesuffix('s')} {TIMES[event.times]}"
    if event.action == "turns":
        return f"make the {actor.name} {event.colour}"
    return f"{'bring' if event.action == 'appears' else 'take away'} the {actor.name}"
