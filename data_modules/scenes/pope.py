"""The embedded POPE: is a coloured shape in the picture? In the files of `playground/data/eval/pope`.

    <folder>/llava_pope_test.jsonl
    <folder>/coco/coco_pope_random.json, coco_pope_popular.json, coco_pope_adversarial.json
    <folder>/val2014/COCO_val2014_000000000001.png

Each category asks about as many things that are there as about things that are not. What is not there is, as
in the paper: any (random), what is in most pictures (popular), or what is most often beside the things that
are there (adversarial).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

from numpy.random import RandomState

from data_modules.scenes.benchmark_files import (
    SHORT_ANSWER,
    different_scenes,
    every_pair,
    pairs_of,
    save_scene,
    with_article,
    write_lines,
)
from data_modules.scenes.scene import HELD_OUT

Pair = tuple[str, str]
CATEGORIES = ("random", "popular", "adversarial")


def write(folder: Path, *, seed: int = 0, pictures: int = 60, things: int = 3) -> None:
    """Draws the world into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream.
        pictures: how many.
        things: of a picture and category that are there, and as many that are not.
    """
    # + 31,000: no other world draws from these seeds.
    random = RandomState(seed + 31_000)
    scenes = different_scenes(random, pictures)
    names = [f"COCO_val2014_{number:012d}.png" for number in range(1, pictures + 1)]
    there = [pairs_of(scene) for scene in scenes]
    popular = Counter(pair for pairs in there for pair in pairs)
    beside = Counter(both for pairs in there for both in permutations(pairs, 2))
    # A pair that no picture ever holds would be known by its words alone.
    possible = [pair for pair in every_pair() if pair not in HELD_OUT]
    asked: list[dict[str, Any]] = []
    for category in CATEGORIES:
        labels: list[dict[str, Any]] = []
        for name, scene, pairs in zip(names, scenes, there, strict=True):
            if category == CATEGORIES[0]:
                save_scene(scene, folder / "val2014" / name)
            absent = [possible[i] for i in random.permutation(len(possible)) if possible[i] not in pairs]
            absent.sort(key=_order(category, pairs, popular, beside))  # stable: ties stay random
            present = [pairs[i] for i in random.permutation(len(pairs))]
            count = min(things, len(present), len(absent))
            for label, chosen in (("yes", present[:count]), ("no", absent[:count])):
                labels += [
                    {
                        "question_id": len(labels) + place,
                        "image": name,
                        "text": f"Is there {with_article(' '.join(pair))} in the image?",
                        "label": label,
                    }
                    for place, pair in enumerate(chosen, start=1)
                ]
        write_lines(folder / "coco" / f"coco_pope_{category}.json", labels)
        asked += [
            {
                "question_id": len(asked) + place,
                "image": row["image"],
                "text": f"{row['text']}\n{SHORT_ANSWER}",
                "category": category,
            }
            for place, row in enumerate(labels, start=1)
        ]
    write_lines(folder / "llava_pope_test.jsonl", asked)


def _order(
    category: str, present: list[Pair], popular: Counter[Pair], beside: Counter[tuple[Pair, Pair]]
) -> Callable[[Pair], int]:
    """What puts the negatives of a category first."""
    return {
        "random": lambda pair: 0,
        "popular": lambda pair: -popular[pair],
        "adversarial": lambda pair: -sum(beside[one, pair] for one in present),
    }[category]
