"""BLEU-1 to BLEU-4 of a set of captions, as pycocoevalcap 1.2 computes it (Papineni et al. 2002).

Source of the behaviour: `bleu_scorer.py` there, closest reference length. Its guards against zero (1e-15
above, 1e-9 below a fraction line) are kept: with them a perfect score is .9999999999977 and not 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vl_dora.metrics.statistic import Numbers, Sums

ORDERS = (1, 2, 3, 4)
_ABOVE, _BELOW = 1e-15, 1e-9


def ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """How often each run of `order` words occurs."""
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def counts(caption: str, references: Sequence[str]) -> list[float]:
    """Words, words of the closest reference, then guessed and right n-grams of each order (10 numbers).

    Captions are token strings, as `ptb_tokenizer.tokenize` gives them.
    """
    words, others = caption.split(), [reference.split() for reference in references]
    closest = min((abs(len(other) - len(words)), len(other)) for other in others)[1]
    guessed = [max(0, len(words) - order + 1) for order in ORDERS]
    right = []
    for order in ORDERS:
        most: Counter[tuple[str, ...]] = Counter()
        for other in others:
            most |= ngrams(other, order)
        right.append((ngrams(words, order) & most).total())
    return [len(words), closest, *guessed, *right]


def formula(sums: Numbers) -> dict[str, Numbers]:
    """`counts` summed over captions (R, 10) -> Bleu_1 to Bleu_4 (R,)."""
    length = (sums[:, 0] + _ABOVE) / (sums[:, 1] + _BELOW)
    brevity = np.where(length < 1, np.exp(1 - 1 / length), 1.0)
    product, found = np.ones(len(sums)), {}
    for order in ORDERS:
        product = product * (sums[:, 5 + order] + _ABOVE) / (sums[:, 1 + order] + _BELOW)
        found[f"Bleu_{order}"] = product ** (1 / order) * brevity
    return found


def bleu(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Sums:
    """Bleu_1 to Bleu_4, 0 to 1, as a statistic over the captions."""
    rows = [counts(caption, others) for caption, others in zip(captions, references, strict=True)]
    return Sums(np.array(rows, dtype=np.float64), formula)
