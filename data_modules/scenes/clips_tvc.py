"""The embedded TVC data set: captions of a moment, in VALUE's files.

    <folder>/ann/tvc/tvc_train_release.jsonl        tvc_val_release.jsonl, tvc_test_release.jsonl
    <folder>/ann/tv_subtitles.jsonl
    <folder>/videos/tv/drawn_s11e0001_clip_00.mp4

A moment is what one thing does; its captions say it in several ways. No clip occurs in two splits; unlike
VALUE's, the test moments come with their captions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.clip import BEATS, Actor, Clip
from data_modules.scenes.clip_choosing import new_clip
from data_modules.scenes.clip_files import seconds, write_clip, write_lines
from data_modules.scenes.clip_language import phrase
from data_modules.scenes.clips_how2qa import chatter
from data_modules.scenes.clips_tvqa import PACE


def write(folder: Path, *, seed: int = 0, train: int = 1500, val: int = 100, test: int = 300) -> None:
    """Draws the three splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same stories everywhere.
        train: clips of the training split, each with a moment for every thing that does something.
        val: clips of the validation split.
        test: clips of the test split.
    """
    seen: set[Clip] = set()
    subtitles: list[dict[str, Any]] = []
    for number, (split, size) in enumerate({"train": train, "val": val, "test": test}.items()):
        random = RandomState((seed + 5000) * 10 + number)
        rows: list[dict[str, Any]] = []
        for place in range(size):
            clip = new_clip(random, seen)
            name = f"drawn_s{number + 11}e{place:04d}_clip_00"
            write_clip(folder / "videos" / "tv" / f"{name}.mp4", clip, PACE)
            subtitles.append({"vid_name": name, "sub": chatter(clip, random, PACE)})
            for actor in clip.doing():
                row = number * 100_000 + len(rows)
                rows.append(_row(row, name, actor, captions(clip, actor, random)))
        write_lines(folder / "ann" / "tvc" / f"tvc_{split}_release.jsonl", rows)
    write_lines(folder / "ann" / "tv_subtitles.jsonl", subtitles)


def captions(clip: Clip, actor: Actor, random: RandomState) -> list[str]:
    """Four ways to tell what one thing does, in an order of their own."""
    does, doing = phrase(actor.event), clip.doing()
    place = doing.index(actor)
    told = [
        f"the {actor.name} {does}.",
        f"here the {actor.name} {does}.",
        f"a {actor.shape}, the {actor.colour} one, {does}.",
    ]
    if place > 0:
        told.append(f"after the {doing[place - 1].name}, the {actor.name} {does}.")
    elif len(doing) > 1:
        told.append(f"first the {actor.name} {does}, before the {doing[1].name}.")
    else:
        told.append(f"the {actor.name} {does} and no other thing does.")
    return [told[i] for i in random.permutation(len(told))]


def _row(number: int, name: str, actor: Actor, told: list[str]) -> dict[str, Any]:
    assert actor.event is not None
    return {
        "vid_name": name,
        "duration": seconds(BEATS, PACE),
        "ts": [seconds(actor.event.start, PACE), seconds(actor.event.end + 1, PACE)],
        "clip_id": number,
        "descs": [
            {"desc": text[0].upper() + text[1:], "desc_id": number * 10 + i, "type": "vt"}
            for i, text in enumerate(told)
        ],
    }
