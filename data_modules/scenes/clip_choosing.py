"""Which questions of a clip are asked: kinds in turn, and within a kind the answers asked least so far."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from numpy.random import RandomState

from data_modules.scenes.clip import Clip, random_clip
from data_modules.scenes.clip_questions import Asked


class Chooser:
    """Keeps count over a whole split, so that no answer is much commoner than the others of its kind.

    Args:
        random: breaks ties.
        kinds: those that may be asked; None: all.
    """

    def __init__(self, random: RandomState, kinds: Iterable[str] | None = None) -> None:
        self.random = random
        self.kinds = None if kinds is None else frozenset(kinds)
        self._kinds: Counter[str] = Counter()
        self._answers: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def choose(self, asked: list[Asked], count: int) -> list[Asked]:
        """At most `count` of these, of different kinds, those kinds first that were asked least."""
        mixed = [asked[i] for i in self.random.permutation(len(asked))]
        mixed = [a for a in mixed if self.kinds is None or a.kind in self.kinds]
        chosen: list[Asked] = []
        for kind in sorted({a.kind for a in mixed}, key=lambda kind: (self._kinds[kind], kind))[:count]:
            least = min(
                (a for a in mixed if a.kind == kind), key=lambda a: self._answers[kind][self._answer(a)]
            )
            self._kinds[kind] += 1
            self._answers[kind][self._answer(least)] += 1
            chosen.append(least)
        return chosen

    def _answer(self, asked: Asked) -> str:
        # By form: `how often does tom jump` and `how often does tom blink` are each to be balanced.
        return f"{asked.question.rsplit(' ', 1)[-1]} {asked.answer}"


def new_clip(random: RandomState, seen: set[Clip]) -> Clip:
    """A clip that is not in `seen`, and is from then on."""
    clip = random_clip(random)
    while clip in seen:
        clip = random_clip(random)
    seen.add(clip)
    return clip
