"""ROUGE-L of one caption, as pycocoevalcap 1.2 computes it (Lin 2004, longest common subsequence).

Source of the behaviour: `rouge.py` there: beta 1.2; the best precision and the best recall are taken
separately over the references, and tokens are cut at single spaces. An empty caption scores 0 instead of
failing.
"""

from __future__ import annotations

from collections.abc import Sequence

_BETA = 1.2


def rouge_l(caption: str, references: Sequence[str]) -> float:
    """ROUGE-L, 0 to 1, of a token string against reference token strings."""
    words = caption.split(" ")
    pairs = [(_common(words, other), len(other)) for other in (text.split(" ") for text in references)]
    precision = max(common / len(words) for common, _ in pairs)
    recall = max(common / length for common, length in pairs)
    if not caption or not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for left in a:
        corner = 0
        for j, right in enumerate(b, start=1):
            above = row[j]
            row[j] = corner + 1 if left == right else max(above, row[j - 1])
            corner = above
    return row[-1]
