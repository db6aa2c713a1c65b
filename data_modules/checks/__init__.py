"""What is wrong with a data set, before anything is trained on it: data_modules.checks.inspect(data, ...).

inspection     inspect: every split of every task, what lies between them, and samples to look at
rows           the rows of a split as examples, all that is unfit collected
texts          lengths in tokens against every limit, what is cut, what has nothing to learn
conversations  the same for conversations of decoder-only networks
vocabulary     words that the tokenizer has no token for, and what that costs in score
files          every picture, clip and stored feature opened once
pictures       what they are like, and which samples cannot be used for them
repeats        the same asked twice, and evaluation samples that training has seen
balance        which answers and which kinds of questions there are
samples        the samples to show, as a network would get them
finding        Finding, Figures: what all of them report
"""

from __future__ import annotations

from typing import Any

__all__ = ["inspect"]


def __getattr__(name: str) -> Any:
    """Imports the checks, and torch with them, only where they are used."""
    if name == "inspect":
        from data_modules.checks.inspection import inspect

        return inspect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
