"""MMBench: multiple choice, each question asked with its options in several orders (arXiv:2307.06281).

Circular evaluation (section 4 of the paper): a question counts as right where every order of its options was
answered right. The rows of one question have indices that differ by multiples of 1,000,000. The benchmark's
server reads free text with the help of a language model; here a text is read by rules alone, as models answer
that were asked for a letter: (1) the letter, bare or in brackets, alone or followed by a stop, colon, bracket
or comma; (2) "the answer is" and the letter; (3) the text of exactly one option. Anything else is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vl_dora.metrics.statistic import groups

LETTERS = "ABCD"
CIRCLE = 1_000_000
_FIRST = re.compile(r"\(?([A-D])\)?(?:[.:,)](?:\s|$)|$)")
_SAID = re.compile(r"\banswer is:? \(?([A-D])\b", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """One row: its index, its options in order, the right letter, and what scores are broken down by."""

    index: int
    options: tuple[str, ...]
    answer: str
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MMBenchScores:
    """Scores in percent.

    Args:
        scores: `accuracy` over questions; `accuracy_a_row` where a question has several rows.
        by_type: breakdown -> group -> accuracy over questions.
        per_question: 0 or 100 a question.
        first: place of each question's first row among the items.
    """

    scores: dict[str, float]
    by_type: dict[str, dict[str, float]]
    per_question: tuple[float, ...]
    first: tuple[int, ...]


def letter(text: str, options: Sequence[str]) -> str | None:
    """The letter that a text is read as, or None; a letter beyond the options is none."""
    text = text.strip()
    letters = LETTERS[: len(options)]
    found = _FIRST.match(text)
    if found is None:
        said = set(_SAID.findall(text))
        found_letter = said.pop().upper() if len(said) == 1 else _by_option(text, options)
    else:
        found_letter = found[1]
    return found_letter if found_letter is not None and found_letter in letters else None


def _by_option(text: str, options: Sequence[str]) -> str | None:
    fitting = [place for place, option in enumerate(options) if _plain(option) == _plain(text)]
    return LETTERS[fitting[0]] if len(fitting) == 1 else None


def _plain(text: str) -> str:
    return text.strip().rstrip(".").lower()


def score(predictions: Sequence[str], items: Sequence[Item]) -> MMBenchScores:
    """Accuracy over questions, by group, and over rows where questions have several.

    Raises:
        ValueError: nothing to score, or an answer that is none of the item's letters.
    """
    if not items:
        raise ValueError("MMBench accuracy of no predictions is undefined; got an empty sequence")
    for item in items:
        if item.answer not in tuple(LETTERS[: len(item.options)]):
            raise ValueError(f"the answer of row {item.index} is {item.answer!r}, none of its options")
    hits = [letter(text, i.options) == i.answer for text, i in zip(predictions, items, strict=True)]
    rows: dict[int, list[int]] = {}
    for place, item in enumerate(items):
        rows.setdefault(item.index % CIRCLE, []).append(place)
    per_question = [100.0 * all(hits[place] for place in places) for places in rows.values()]
    first = [min(places, key=lambda place: items[place].index) for places in rows.values()]
    scores = {"accuracy": sum(per_question) / len(per_question)}
    if len(rows) < len(items):
        scores["accuracy_a_row"] = 100.0 * sum(hits) / len(hits)
    kinds = list(dict.fromkeys(name for item in items for name in item.groups))
    by_type = {
        name: groups([items[place].groups.get(name, "") for place in first], per_question) for name in kinds
    }
    return MMBenchScores(scores, by_type, tuple(per_question), tuple(first))
