"""Questions in the words of several benchmarks, as LLaVA-1.5's mixture holds several data sets.

The mixture has the training questions of VQAv2 and of GQA, and choices; the drawn one has, beside VQAv2's,
GQA's kinds, POPE's question for what is there, and MMBench's kinds of choice, about pictures of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from numpy.random import RandomState

from data_modules.scenes import gqa_questions, mmbench
from data_modules.scenes.balance import BalancedChoice
from data_modules.scenes.benchmark_files import every_pair, pairs_of, with_article
from data_modules.scenes.scene import HELD_OUT, Scene

Turns = list[tuple[str, str]]
POSSIBLE = [pair for pair in every_pair() if pair not in HELD_OUT]


class Wording:
    """Draws questions in other words than VQAv2's.

    Args:
        random: the stream to draw from.
    """

    def __init__(self, random: RandomState) -> None:
        self.random = random
        kinds = {name: partial(_pairs, kind) for name, kind in gqa_questions.KINDS.items()}
        self.gqa = BalancedChoice(kinds, random)

    def short(self, scene: Scene) -> Turns:
        """Questions with short answers: half of the time none (VQAv2's stay), else GQA's or POPE's."""
        way: Callable[[Scene], Turns] = (self._none, self._none, self._gqa, self._pope)[
            self.random.randint(4)
        ]
        return way(scene)

    def choice(self, scene: Scene, options: Callable[[str, list[str]], str]) -> Turns:
        """Half of the time none, else two of MMBench's questions.

        Args:
            scene: what they are about.
            options: writes a question and its options as one text.
        """
        turns: Turns = []
        names = list(mmbench.KINDS)
        for number in self.random.permutation(len(names))[: 2 * self.random.randint(2)]:
            hint, question, (right, *wrong) = mmbench.KINDS[names[number]][0](scene, self.random)
            place = self.random.randint(len(wrong) + 1)
            text = f"{hint}\n{question}" if hint else question
            turns.append((options(text, [*wrong[:place], right, *wrong[place:]]), "ABCD"[place]))
        return turns

    def _none(self, scene: Scene) -> Turns:
        return []

    def _gqa(self, scene: Scene) -> Turns:
        names = [list(self.gqa.kinds)[i] for i in self.random.permutation(len(self.gqa.kinds))]
        pairs = (self.gqa.choose(scene, name) for name in names[: 2 + self.random.randint(4)])
        return [pair for pair in pairs if pair is not None]

    def _pope(self, scene: Scene) -> Turns:
        there = pairs_of(scene)
        absent = [pair for pair in POSSIBLE if pair not in there]
        turns = []
        for _ in range(4):
            answer = ("no", "yes")[self.random.randint(2)]
            among = there if answer == "yes" else absent
            pair = among[self.random.randint(len(among))]
            turns.append((f"Is there {with_article(' '.join(pair))} in the image?", answer))
        return list(dict(turns).items())  # each once


def _pairs(kind: gqa_questions.Kind, scene: Scene) -> list[tuple[str, str]]:
    return [(asked.question, asked.answer) for asked in kind.list_all(scene)]
