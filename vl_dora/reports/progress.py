"""A bar on standard error while something long goes on; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Wrap = Callable[[Iterable[Any], int, str], Iterable[Any]]


@contextmanager
def progress_bar() -> Iterator[Wrap]:
    """Gives wrap(items, how many, what is done) -> the same items, counted on a bar."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:

        def wrap(items: Iterable[Any], total: int, text: str) -> Iterable[Any]:
            return progress.track(items, total=total, description=text)

        yield wrap
