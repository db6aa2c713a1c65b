"""A method's row is the mean and sample spread of its own runs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from vl_dora.reports.tables import Column, comparison_rows, markdown_table, rich_table

COLUMNS = (
    Column("accuracy (%)", "scores.accuracy"),
    Column("trainable (%)", "trainable", digits=2, scale=100, share_of="total"),
    Column("step (ms)", "seconds_per_step", digits=0, scale=1000),
)


def run(method: str, accuracy: float | None, step: float = 0.05) -> dict:
    scores = {} if accuracy is None else {"accuracy": accuracy}
    return {"method": method, "scores": scores, "trainable": 125, "total": 10_000, "seconds_per_step": step}


def test_mean_and_spread_are_those_of_numpy():
    figures = [81.3, 88.9, 84.5]
    ((name, runs, accuracy, share, step),) = comparison_rows(
        [run("dora", f) for f in figures], COLUMNS, by="method"
    )
    assert (name, runs) == ("dora", "3")
    assert accuracy == f"{np.mean(figures):.1f} ± {np.std(figures, ddof=1):.1f}"
    # Equal in all runs: there is no spread to tell of.
    assert (share, step) == ("1.25", "50")


def test_methods_keep_the_order_they_came_in_and_their_own_runs():
    rows = comparison_rows([run("lora", 80), run("dora", 90), run("lora", 82)], COLUMNS, by="method")
    assert [row[:3] for row in rows] == [["lora", "2", "81.0 ± 1.4"], ["dora", "1", "90.0"]]


def test_a_figure_that_no_run_has_is_a_dash_and_one_run_shows_no_spread():
    ((*_, accuracy, share, step),) = comparison_rows([run("frozen", None)], COLUMNS, by="method")
    assert (accuracy, share, step) == ("–", "1.25", "50")


def test_a_run_that_cannot_be_sorted_is_named():
    with pytest.raises(ValueError, match="run 2 has no entry 'method'"):
        comparison_rows([run("dora", 1), {"task": "vqa"}], COLUMNS, by="method")
    with pytest.raises(ValueError, match="no runs given"):
        comparison_rows([], COLUMNS, by="method")


def test_markdown_has_a_line_per_row_and_keeps_bars_out_of_the_grid():
    lines = markdown_table(["method", "score"], [["a|b", "1.0"], ["c", "2.0"]]).splitlines()
    assert lines == ["| method | score |", "| --- | ---: |", r"| a\|b | 1.0 |", "| c | 2.0 |"]


def test_the_terminal_table_shows_every_cell():
    console = Console(width=80, file=io.StringIO())
    console.print(rich_table(["method", "score"], [["dora", "88.9 ± 1.2"]], title="vqa"))
    text = console.file.getvalue()
    assert all(cell in text for cell in ("vqa", "method", "score", "dora", "88.9 ± 1.2"))
