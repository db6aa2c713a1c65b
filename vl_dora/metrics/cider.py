"""CIDEr of a set of captions, as pycocoevalcap 1.2 computes it (Vedantam et al. 2015, the variant CIDEr-D).

Source of the behaviour: `cider_scorer.py` there. n-grams of 1 to 4 words weighted by tf * idf, where idf
comes from the references of the very set that is scored; clipped counts; a Gaussian penalty (sigma 6) on the
difference in length, counted in bigrams; times 10. A set of one picture scores 0, as its idf is 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from vl_dora.metrics.bleu import ORDERS, ngrams

_SIGMA = 6.0

Gram = tuple[str, ...]


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr of each caption, 0 to 10, against its references; their mean is the score of the set.

    All are token strings, as `ptb_tokenizer.tokenize` gives them. In a resample the values stay what they
    are: a picture that is drawn twice is no second document, and to count it as one lowers idf, and with it
    nearly every resampled score.
    """
    words = [_Caption(text) for text in captions]
    others = [[_Caption(text) for text in texts] for texts in references]
    documents: Counter[Gram] = Counter()
    for texts in others:
        documents.update({gram for text in texts for counted in text.counts for gram in counted})
    idf = {gram: math.log(len(captions)) - math.log(count) for gram, count in documents.items()}
    unseen = math.log(len(captions)) if captions else 0.0
    for text in [*words, *(text for texts in others for text in texts)]:
        text.weigh(idf, unseen)
    return [
        10.0 * sum(mine.likeness(text) for text in texts) / len(texts)
        for mine, texts in zip(words, others, strict=True)
    ]


class _Caption:
    """n-grams of one caption by order, then their weights tf * idf and the lengths of these vectors."""

    def __init__(self, text: str) -> None:
        words = text.split()
        self.counts = [ngrams(words, order) for order in ORDERS]
        self.num_bigrams = max(0, len(words) - 1)

    def weigh(self, idf: Mapping[Gram, float], unseen: float) -> None:
        self.weights = [{g: n * idf.get(g, unseen) for g, n in counted.items()} for counted in self.counts]
        self.lengths = [math.sqrt(sum(w * w for w in weights.values())) for weights in self.weights]

    def likeness(self, reference: _Caption) -> float:
        """Mean over the orders of the clipped cosine, times the penalty on the difference in length."""
        total = 0.0
        for mine, theirs, a, b in zip(
            self.weights, reference.weights, self.lengths, reference.lengths, strict=True
        ):
            if a and b:
                total += sum(min(w, theirs[g]) * theirs[g] for g, w in mine.items() if g in theirs) / (a * b)
        gap = self.num_bigrams - reference.num_bigrams
        return total / len(ORDERS) * math.exp(-(gap**2) / (2 * _SIGMA**2))
