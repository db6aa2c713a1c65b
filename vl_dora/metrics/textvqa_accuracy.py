"""TextVQA accuracy, and ANLS: questions whose answer is written in the picture.

Source of TextVQA accuracy: `m4c_evaluator.py` as LLaVA uses it. It differs from VQA accuracy in two ways:
text is always normalised; before that "," and "?" go and 's gets a space in front, so that "1,000" keeps its
other marks. ANLS: Biten et al. 2019, arXiv:1905.13648, eq. 1, threshold 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from vl_dora.metrics.vqa_accuracy import MARKS, agreement, map_words, remove_stops, trim

NUM_HUMANS = 10


@lru_cache(maxsize=1 << 16)
def normalise(text: str) -> str:
    """All steps of the evaluator: words, white space, punctuation, number words, articles, contractions."""
    text = trim(text.lower().replace(",", "").replace("?", "").replace("'s", " 's"))
    out = text
    for mark in MARKS:
        delete = f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if delete else " ")
    return map_words(remove_stops(out))


def textvqa_accuracy(prediction: str, humans: Sequence[str]) -> float:
    """Accuracy of one answer, 0 to 1, as leave-one-out agreement with ten normalised humans.

    Raises:
        ValueError: there are not ten human answers.
    """
    if len(humans) != NUM_HUMANS:
        raise ValueError(f"TextVQA accuracy needs {NUM_HUMANS} human answers, got {len(humans)}")
    return agreement(normalise(prediction), [normalise(human) for human in humans])


def stvqa_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """1 if the normalised answer equals any of the normalised right ones, else 0."""
    return float(normalise(prediction) in {normalise(answer) for answer in answers})


def anls(prediction: str, answers: Sequence[str], *, threshold: float = 0.5) -> float:
    """Average normalised Levenshtein similarity of one answer, 0 to 1: the best over the right answers.

    Case and outer white space do not count. A similarity below `threshold` is 0. Two empty texts, on which
    the script divides by zero, are alike.

    Raises:
        ValueError: there is no right answer.
    """
    if not answers:
        raise ValueError("ANLS needs at least one right answer, got none")
    best = max(_similarity(prediction.strip().lower(), answer.strip().lower()) for answer in answers)
    return best if best >= threshold else 0.0


def _similarity(a: str, b: str) -> float:
    longer = max(len(a), len(b))
    return 1.0 - levenshtein(a, b) / longer if longer else 1.0


def levenshtein(a: str, b: str) -> int:
    """Fewest single-character insertions, deletions and replacements that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (left != right))
    return row[-1]
