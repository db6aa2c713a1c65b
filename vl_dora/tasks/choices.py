"""Answers that are choices: how a prompt lists them, and which of them a text means."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from vl_dora.batch import Prediction

log = logging.getLogger(__name__)

_CHOICE = re.compile(r"a(\d+)")
NONE = -1
"""What stands for a text that is no choice."""


def listed(choices: Sequence[str]) -> str:
    """`a0: a tie. a1: a hat.`; the full stops and spaces around a choice are its own no longer."""
    return " ".join(f"a{number}: {choice.strip('. ')}." for number, choice in enumerate(choices))


def chosen(text: str) -> int:
    """N where the text is `aN`, spaces around it aside; `NONE` for any other text."""
    found = _CHOICE.fullmatch(text.strip())
    return int(found[1]) if found else NONE


def warn_of_none(name: str, predictions: Sequence[Prediction], meaning: str) -> None:
    """Logs how many predictions are no choice, and the first of them.

    Args:
        name: of the task.
        predictions: all of them.
        meaning: what becomes of such a text.
    """
    strays = [p for p in predictions if chosen(p.text) == NONE]
    if strays:
        log.warning(
            "%s: %d of %d texts are no choice and %s, such as %r (%s)",
            name,
            len(strays),
            len(predictions),
            meaning,
            strays[0].text,
            strays[0].id,
        )
