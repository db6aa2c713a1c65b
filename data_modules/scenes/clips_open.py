"""Embedded data sets of open questions about clips, in the files of MSVD-QA, MSRVTT-QA and ActivityNet-QA.

    write_msvd         train_qa.json, val_qa.json, test_qa.json; videos/vid1.mp4 …
    write_msrvtt       the same with category_id; videos/video1.mp4 …
    write_activitynet  train_q.json, train_a.json … with types 0 to 8; videos/v_drawn_00001.mp4 …

Answers are a word or two. No clip occurs in two splits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.clip import Clip
from data_modules.scenes.clip_choosing import new_clip
from data_modules.scenes.clip_files import PACES, write_clip
from data_modules.scenes.clip_open_questions import FIRST_WORDS, TYPES, Kinds


def write_msvd(
    folder: Path, *, seed: int = 0, train: int = 1500, val: int = 100, test: int = 300, a_clip: int = 4
) -> None:
    """Draws MSVD-QA's three splits; counts are of clips, see `_write`."""
    _write(folder, 8000 + seed, (train, val, test), a_clip, FIRST_WORDS, "vid{}", _msvd)


def write_msrvtt(
    folder: Path, *, seed: int = 0, train: int = 1500, val: int = 100, test: int = 300, a_clip: int = 4
) -> None:
    """Draws MSRVTT-QA's three splits; counts are of clips, see `_write`."""
    _write(folder, 8300 + seed, (train, val, test), a_clip, FIRST_WORDS, "video{}", _msrvtt)


def write_activitynet(
    folder: Path, *, seed: int = 0, train: int = 1500, val: int = 100, test: int = 300, a_clip: int = 5
) -> None:
    """Draws ActivityNet-QA's three splits; counts are of clips, see `_write`."""
    _write(folder, 8600 + seed, (train, val, test), a_clip, TYPES, "v_drawn_{:05d}", _activitynet)


Found = list[tuple[int, str, str, str]]  # number of the clip, kind, question, answer


def _write(
    folder: Path,
    seed: int,
    sizes: tuple[int, int, int],
    a_clip: int,
    kinds: Kinds,
    name: str,
    save: Callable[[Path, str, int, Found], None],
) -> None:
    """Draws the splits and has their questions saved.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        sizes: clips of train, val and test.
        a_clip: questions about each clip, those kinds first that were asked least.
        kinds: what can be asked.
        name: of a clip's file, filled with its number; the numbers start at 1.
        save: writes one split's questions, given the folder, the split and its first question's number.
    """
    seen: set[Clip] = set()
    folder.mkdir(parents=True, exist_ok=True)
    first_clip, first_question = 1, 0
    for number, (split, size) in enumerate(zip(("train", "val", "test"), sizes, strict=True)):
        random = RandomState(seed * 10 + number)
        choice: BalancedChoice[Clip] = BalancedChoice(kinds, random)
        used = dict.fromkeys(kinds, 0)
        found: Found = []
        for place in range(first_clip, first_clip + size):
            clip = new_clip(random, seen)
            write_clip(
                folder / "videos" / f"{name.format(place)}.mp4", clip, PACES[random.randint(len(PACES))]
            )
            asked = 0
            for kind in sorted(kinds, key=lambda kind: (used[kind], kind)):
                pair = choice.choose(clip, kind) if asked < a_clip else None
                if pair is not None:
                    used[kind] += 1
                    asked += 1
                    found.append((place, kind, *pair))
        save(folder, split, first_question, found)
        first_clip += size
        first_question += len(found)


def _msvd(folder: Path, split: str, first: int, found: Found) -> None:
    _dump(folder / f"{split}_qa.json", [_plain(first + i, *row) for i, row in enumerate(found)])


def _msrvtt(folder: Path, split: str, first: int, found: Found) -> None:
    rows = [{**_plain(first + i, *row), "category_id": 0} for i, row in enumerate(found)]
    _dump(folder / f"{split}_qa.json", rows)


def _plain(number: int, clip: int, kind: str, question: str, answer: str) -> dict[str, Any]:
    assert question.startswith(kind.split()[0])
    return {"answer": answer, "id": number, "question": question, "video_id": clip}


def _activitynet(folder: Path, split: str, first: int, found: Found) -> None:
    del first  # its question ids are told from the clip
    asked, answered, numbers = [], [], dict.fromkeys((clip for clip, *_ in found), -1)
    for clip, kind, question, answer in found:
        numbers[clip] += 1
        video = f"drawn_{clip:05d}"
        key = {"question_id": f"{video}_{numbers[clip]}"}
        asked.append({"question": question.removesuffix("?"), "video_name": video, **key})
        answered.append({"answer": answer, "type": list(TYPES).index(kind), **key})
    _dump(folder / f"{split}_q.json", asked)
    _dump(folder / f"{split}_a.json", answered)


def _dump(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows))
