"""Balanced choice of questions, so that neither the text nor the commonest answer gives it away."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from numpy.random import RandomState

Shown = TypeVar("Shown")  # a scene or a clip


class BalancedChoice(Generic[Shown]):
    """Chooses, kind by kind, the (question, answer) pair that has been asked least so far.

    Least in comparison with the other answers to the same text first, then within the kind; ties
    fall at random.

    Args:
        kinds: kind -> function listing the pairs that fit a scene or clip.
        random: the stream that breaks ties.
    """

    def __init__(
        self, kinds: Mapping[str, Callable[[Shown], list[tuple[str, str]]]], random: RandomState
    ) -> None:
        self.kinds = kinds
        self.random = random
        self._by_text: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._by_kind: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def choose(self, scene: Shown, kind: str, must_name: str = "") -> tuple[str, str] | None:
        """One pair of `kind` for `scene`, or None when none fits.

        Args:
            scene: what is asked about.
            kind: a key of `kinds`.
            must_name: words that the question must contain.
        """
        pairs = [pair for pair in self.kinds[kind](scene) if must_name in pair[0]]
        if not pairs:
            return None
        pairs = [pairs[i] for i in self.random.permutation(len(pairs))]
        question, answer = min(pairs, key=lambda pair: self._excess(kind, *pair))
        self._by_text[question][answer] += 1
        self._by_kind[kind][answer] += 1
        return question, answer

    def _excess(self, kind: str, question: str, answer: str) -> tuple[float, int]:
        """How much oftener than the mean this answer was given to this text; then to this kind."""
        counts = self._by_text[question] if question in self._by_text else Counter()
        mean = counts.total() / max(len(counts), 2)
        return counts[answer] - mean, self._by_kind[kind][answer]
