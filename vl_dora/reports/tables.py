"""Runs side by side: one row a method, mean and spread over its seeds.

The spread is the sample standard deviation (n - 1), left out for a single run.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Column:
    """One figure of `results.json` in a table.

    Args:
        title: the head of the column, unit included.
        key: where the figure lies, dots between levels: `scores.accuracy`.
        digits: decimals shown.
        scale: what the figure is multiplied by before it is shown.
        share_of: key of another figure to divide by, for instance `total`.
    """

    title: str
    key: str
    digits: int = 1
    scale: float = 1.0
    share_of: str | None = None

    def value(self, results: Mapping[str, Any]) -> float | None:
        """The figure of one run in the column's unit; None where the run has none."""
        figure = look_up(results, self.key)
        if figure is None:
            return None
        if self.share_of is not None:
            whole = look_up(results, self.share_of)
            if not whole:
                return None
            figure = figure / whole
        return float(figure) * self.scale

    def show(self, values: Sequence[float]) -> str:
        """`mean ± spread`, the mean alone for one run or where all are equal, a dash for none."""
        if not values:
            return "–"
        mean = f"{statistics.fmean(values):,.{self.digits}f}"
        # What no seed can change (a count of parameters) has no spread to tell of.
        varies = len(set(values)) > 1
        return f"{mean} ± {statistics.stdev(values):.{self.digits}f}" if varies else mean


def look_up(results: Mapping[str, Any], key: str) -> Any:
    """The entry at `key`, dots between levels; None where a level is missing."""
    entry: Any = results
    for level in key.split("."):
        if not isinstance(entry, Mapping) or level not in entry:
            return None
        entry = entry[level]
    return entry


def comparison_rows(
    runs: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, by: str
) -> list[list[str]]:
    """One row per different entry at `by`, in order of first appearance: name, runs, figures.

    Raises:
        ValueError: a run has no entry at `by`, or there is no run.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for number, run in enumerate(runs, start=1):
        name = look_up(run, by)
        if name is None:
            raise ValueError(f"run {number} has no entry '{by}' to sort it by; it holds {sorted(run)}")
        groups.setdefault(str(name), []).append(run)
    if not groups:
        raise ValueError("no runs given; name at least one run directory with a results.json")
    rows = []
    for name, members in groups.items():
        figures = ([column.value(run) for run in members] for column in columns)
        shown = [
            column.show([figure for figure in found if figure is not None])
            for column, found in zip(columns, figures, strict=True)
        ]
        rows.append([name, str(len(members)), *shown])
    return rows


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table: the first column to the left, figures to the right."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join([line(heads), line(rule), *(line(row) for row in rows)])


def rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> Table:
    """The same table for a terminal."""
    table = Table(title=title)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table
