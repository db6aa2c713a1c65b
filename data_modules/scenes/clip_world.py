"""What the tiny base of clips is pretrained on: eight frames a clip, captions and one-fact questions."""

from __future__ import annotations

from collections.abc import Iterator

from numpy.random import RandomState

from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.clip import CELL_CHANNELS, Clip, random_clip
from data_modules.scenes.clip_language import CAPTIONS, PRETRAINING, choice_question, subtitled_question
from data_modules.scenes.drawn import Drawn

__all__ = ["CELL_CHANNELS", "samples"]

# What is learned last is asked more often.
AGAIN = ("what_does", "direction", "speed", "count_times", "first_of", "where", "caption")
SUBTITLED, CHOSEN = 4, 6


def samples(seed: int, count: int) -> Iterator[Drawn]:
    """`count` clips, each with every caption and about 25 questions that fit it.

    Args:
        seed: of the frozen random stream; fine-tuning's clips use other seeds.
        count: how many clips.
    """
    random = RandomState(seed)
    choice: BalancedChoice[Clip] = BalancedChoice({**PRETRAINING, **CAPTIONS}, random)
    for _ in range(count):
        clip = random_clip(random)
        asked = [
            (kind, "caption: " if kind in CAPTIONS else "video: ", choice.choose(clip, kind))
            for kind in (*PRETRAINING, *CAPTIONS, *AGAIN)
        ]
        questions = [(kind, prefix + pair[0], pair[1]) for kind, prefix, pair in asked if pair]
        for _ in range(SUBTITLED):
            question, answer = subtitled_question(clip, random)
            questions.append(("subtitled", question, answer))
        for _ in range(CHOSEN):
            question, answer = choice_question(clip, random)
            questions.append(("chosen", question, answer))
        yield Drawn(clip.draw(), clip.cells(), tuple(questions))
