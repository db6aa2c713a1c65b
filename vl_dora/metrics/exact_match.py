"""Exact match: is the answer one of the right ones, after trimming and lower-casing?"""

from __future__ import annotations

from collections.abc import Sequence


def exact_match(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> tuple[bool, ...]:
    """Whether each prediction equals one of its answers, ignoring case and outer white space.

    Raises:
        ValueError: the sequences differ in length, or a prediction has no answers to be compared with.
    """
    return tuple(_matches(text, right) for text, right in zip(predictions, answers, strict=True))


def _matches(text: str, right: Sequence[str]) -> bool:
    if not right:
        raise ValueError(f"the prediction {text!r} has no answers to be compared with")
    return text.strip().lower() in {answer.strip().lower() for answer in right}
