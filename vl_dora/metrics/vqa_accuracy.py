"""VQA accuracy: how many of ten humans agree with an answer, after the evaluator's clean-up.

Source: GT-Vision-Lab/VQA @ a013f0043c1e, `vqaEval.py`, reproduced with its faults, because published figures
contain them; and the variant `evaluate_raw` of VL-T5, which VL-Adapter and DoRA report. The official loop
tells humans apart by their whole record; with the unique `answer_id` of the official files that is
leave-one-out by place, as here. Nothing is changed in place: scoring twice gives the same figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from vl_dora.metrics.contractions import CONTRACTIONS

MARKS = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
# The evaluator means to look behind the stop, too, but its pattern is mistyped and looks ahead only.
_STOP = re.compile(r"\.(?!\d)")
# It passes the flag re.UNICODE, whose value is 32, where the number of replacements is expected.
_STOPS_REMOVED = 32
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = ("a", "an", "the")


def trim(text: str) -> str:
    """Newline and tab become a space; outer white space goes."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def strip_punctuation(text: str) -> str:
    """21 marks deleted or turned into a space, and full stops that no digit follows deleted.

    A mark is deleted when the text has it next to a space, or has a digit-comma-digit anywhere.
    """
    delete_all = _DIGIT_COMMA_DIGIT.search(text) is not None
    out = text
    for mark in MARKS:
        delete = delete_all or f"{mark} " in text or f" {mark}" in text
        out = out.replace(mark, "" if delete else " ")
    return remove_stops(out)


def remove_stops(text: str) -> str:
    """Deletes the first 32 full stops that no digit follows."""
    return _STOP.sub("", text, count=_STOPS_REMOVED)


def map_words(text: str) -> str:
    """Lower case; number words to digits; articles dropped; contractions put right; single spaces."""
    words = (_DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


@lru_cache(maxsize=1 << 16)
def normalise(text: str) -> str:
    """All steps in the evaluator's order: trim, punctuation, words."""
    return map_words(strip_punctuation(trim(text)))


def agreement(prediction: str, humans: Sequence[str]) -> float:
    """Mean over the humans of min(1, matches among the others / 3), 0 to 1; plain string equality.

    With ten humans, 0, 1, 2, 3, 4 or more matches give 0, .3, .6, .9, 1.

    Raises:
        ValueError: there is no human answer.
    """
    if not humans:
        raise ValueError("VQA accuracy needs at least one human answer (officially ten), got none")
    matches = sum(prediction == human for human in humans)
    credits = [min(1.0, (matches - (prediction == human)) / 3) for human in humans]
    return sum(credits) / len(credits)


def official_accuracy(prediction: str, humans: Sequence[str]) -> float:
    """VQA accuracy of one answer, 0 to 1; nothing is normalised where all humans gave one text."""
    prediction, humans = trim(prediction), [trim(human) for human in humans]
    if len(set(humans)) > 1:
        prediction, humans = normalise(prediction), [normalise(human) for human in humans]
    return agreement(prediction, humans)


def vl_t5_accuracy(prediction: str, humans: Sequence[str]) -> float:
    """`evaluate_raw` of VL-T5, 0 to 1: the prediction is always normalised, humans lose punctuation only.

    A human "two" or "the dog" can therefore never be matched. Humans that all agree stay as they are.
    """
    if len(set(humans)) > 1:
        humans = [strip_punctuation(human) for human in humans]
    return agreement(normalise(prediction), humans)


@dataclass(frozen=True)
class VQAScores:
    """Scores of a set of answers, in percent.

    Args:
        overall: mean of `per_sample`, rounded to two places as the evaluator prints it.
        per_question_type: question type -> mean, two places.
        per_answer_type: answer type -> mean, two places.
        per_sample: one value an answer, in the order given, not rounded.
    """

    overall: float
    per_question_type: dict[str, float]
    per_answer_type: dict[str, float]
    per_sample: tuple[float, ...]


def score(
    predictions: Sequence[str],
    humans: Sequence[Sequence[str]],
    question_types: Sequence[str] = (),
    answer_types: Sequence[str] = (),
    *,
    accuracy: Callable[[str, Sequence[str]], float] = official_accuracy,
) -> VQAScores:
    """Overall, per-type and per-sample accuracy of answers, in percent.

    Args:
        predictions: N answers.
        humans: the human answers to each of the N questions.
        question_types: N types, or none.
        answer_types: N types, or none.
        accuracy: `official_accuracy` or `vl_t5_accuracy`.

    Raises:
        ValueError: no predictions, sequences of different lengths, or a question without human answers.
    """
    if not predictions:
        raise ValueError("VQA accuracy of no predictions is undefined; got an empty sequence")
    values = [accuracy(text, others) for text, others in zip(predictions, humans, strict=True)]
    return VQAScores(
        overall=_percent(values),
        per_question_type=_by(question_types, values) if question_types else {},
        per_answer_type=_by(answer_types, values) if answer_types else {},
        per_sample=tuple(100 * value for value in values),
    )


def _percent(values: Sequence[float]) -> float:
    return round(100 * float(sum(values)) / len(values), 2)


def _by(types: Iterable[str], values: Sequence[float]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for name, value in zip(types, values, strict=True):
        groups.setdefault(name, []).append(value)
    return {name: _percent(group) for name, group in groups.items()}
