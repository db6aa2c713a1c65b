"""What the tiny base is pretrained on: captions and questions that fine-tuning never asks."""

from __future__ import annotations

from collections.abc import Iterator

from numpy.random import RandomState

from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.drawn import Drawn
from data_modules.scenes.language import CAPTIONS, PRETRAINING
from data_modules.scenes.scene import CELL_CHANNELS, random_scene

__all__ = ["CELL_CHANNELS", "samples"]

# Places and relations are learned last; every scene is asked about them twice.
TWICE = ("half_check", "position", "which_relation", "which_further", "caption_relation")


def samples(seed: int, count: int) -> Iterator[Drawn]:
    """`count` scenes, each with every caption and about fifteen questions that fit it.

    Args:
        seed: of the frozen random stream; fine-tuning's scenes use other seeds.
        count: how many scenes.
    """
    random = RandomState(seed)
    choice = BalancedChoice({**PRETRAINING, **CAPTIONS}, random)
    for _ in range(count):
        scene = random_scene(random)
        asked = [
            (kind, "caption: " if kind in CAPTIONS else "vqa: ", choice.choose(scene, kind))
            for kind in (*PRETRAINING, *CAPTIONS, *TWICE)
        ]
        questions = tuple((kind, prefix + pair[0], pair[1]) for kind, prefix, pair in asked if pair)
        yield Drawn(scene.draw()[None], scene.cells()[None], questions)
