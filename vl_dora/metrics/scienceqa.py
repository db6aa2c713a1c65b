"""ScienceQA: multiple choice, answered by a letter in free text (Lu et al. 2022, arXiv:2209.09513).

Sources of the behaviour: `eval_science_qa.py` of LLaVA for reading the letter and for image accuracy, and
`evaluations.py` of ScienceQA for the table of subjects, contexts and grades. A text is read as its letter if
it is the letter; or starts with the letter, a full stop and a space; or says exactly once "The answer is X"
and one more character. Anything else, and a letter beyond the choices, is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vl_dora.metrics.statistic import Scored, at_once, means

LETTERS = "ABCDE"
_SAID = re.compile(r"The answer is ([A-Z]).")
_NO_ITEM = -1.0


@dataclass(frozen=True)
class Problem:
    """One problem: number of choices, index of the right one, and its place in the table."""

    num_choices: int
    answer: int
    subject: str = ""
    grade: str = ""
    topic: str = ""
    has_hint: bool = False
    has_image: bool = False


def letter(text: str) -> str | None:
    """The letter that a text is read as, or None."""
    if text in LETTERS and len(text) == 1:
        return text
    if len(text) >= 3 and text[0] in LETTERS and text[1:3] == ". ":
        return text[0]
    said = _SAID.findall(text)
    return said[0] if len(said) == 1 else None


def choice(text: str, num_choices: int) -> int:
    """Index of the choice that a text is read as; -1 where there is none."""
    found = letter(text)
    place = LETTERS[:num_choices].find(found) if found else -1
    return place


def score(predictions: Sequence[str | None], problems: Sequence[Problem], shown: Sequence[bool]) -> Scored:
    """Accuracy over all and over those with a picture, percent, and the table of the benchmark.

    Args:
        predictions: the texts; None where there is none, which is wrong.
        problems: the problems, one each.
        shown: whether the picture was in the prompt; a missing prediction never counts as one with a picture.
    """
    rows = list(zip(predictions, problems, shown, strict=True))
    right = [100.0 * (text is not None and choice(text, p.num_choices) == p.answer) for text, p, _ in rows]
    statistic = means(
        {
            "accuracy": right,
            "image_accuracy": [
                hit if image and text is not None else None
                for hit, (text, _, image) in zip(right, rows, strict=True)
            ],
        }
    )
    scores = at_once(statistic, len(rows))
    notes = [] if any(shown) else ["no prompt holds a picture, so there is no image_accuracy"]
    return Scored(
        scores={name: value for name, value in scores.items() if value == value},
        scale="percent",
        statistic=statistic,
        clusters=list(range(len(rows))),
        by_type={"table": _table(right, problems), "topic": _topics(right, problems)},
        notes=tuple(notes),
    )


def _table(right: Sequence[float], problems: Sequence[Problem]) -> dict[str, float]:
    lower = {f"grade{number}" for number in range(1, 7)}
    upper = {f"grade{number}" for number in range(7, 13)}
    columns = {
        "NAT": [p.subject == "natural science" for p in problems],
        "SOC": [p.subject == "social science" for p in problems],
        "LAN": [p.subject == "language science" for p in problems],
        "TXT": [p.has_hint for p in problems],
        "IMG": [p.has_image for p in problems],
        "NO": [not (p.has_hint or p.has_image) for p in problems],
        "G1-6": [p.grade in lower for p in problems],
        "G7-12": [p.grade in upper for p in problems],
    }
    return {name: _mean(right, inside) for name, inside in columns.items()}


def _topics(right: Sequence[float], problems: Sequence[Problem]) -> dict[str, float]:
    names = sorted({p.topic for p in problems if p.topic})
    return {name: _mean(right, [p.topic == name for p in problems]) for name in names}


def _mean(right: Sequence[float], inside: Sequence[bool]) -> float:
    mine = [value for value, counts in zip(right, inside, strict=True) if counts]
    return sum(mine) / len(mine) if mine else _NO_ITEM
