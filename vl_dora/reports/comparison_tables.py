"""The rows of a comparison: for the page, a Markdown table for a paper, and CSV with a line a run."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from vl_dora.reports.comparison import Comparison, Method
from vl_dora.reports.files import whole_file
from vl_dora.reports.tables import Column, look_up, markdown_table

COLUMNS = (
    Column("trainable", "trainable", digits=0),
    Column("share %", "share_percent", digits=2),
    Column("s a step", "seconds_a_step", digits=3),
    Column("peak memory MB", "peak_memory_mib.process", digits=0, scale=1.048576),
    Column("GPU MB", "peak_memory_mib.gpu", digits=0, scale=1.048576),
)


def method_rows(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads and one row a method; columns that no run has a figure for are left out."""
    key = found.headline
    beside = [
        Column("before %", f"before.scores.{key}"),
        Column("question only %", f"baselines.question_only.scores.{key}"),
        Column("majority %", f"baselines.majority.scores.{key}"),
    ]
    columns = [*COLUMNS[:2], *beside, *COLUMNS[2:]]
    shown = [
        column
        for column in columns
        if any(column.value(t.results or {}) is not None for m in found.methods for t in m.trials)
    ]
    heads = ["method", "runs", f"{key} %", "95 % interval", *(column.title for column in shown)]
    rows = []
    for method in found.methods:
        values = ([c.value(t.results or {}) for t in method.trials] for c in shown)
        figures = [
            column.show([v for v in own if v is not None]) for column, own in zip(shown, values, strict=True)
        ]
        rows.append([method.label, str(len(method.trials)), score_of(method), interval_of(method), *figures])
    return heads, rows


def score_of(method: Method) -> str:
    """Mean, and the standard deviation over seeds where there are several."""
    return f"{method.mean:.1f}" + ("" if method.spread is None else f" ± {method.spread:.1f}")


def interval_of(method: Method) -> str:
    """Over seeds and samples."""
    return "–" if method.interval is None else f"{method.interval[0]:.1f} to {method.interval[1]:.1f}"


def pair_rows(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads and one row a pair of methods."""
    heads = ["second − first", "difference", "95 % interval", "p of these runs", "corrected"]
    rows = [
        [
            f"{pair.second} − {pair.first}",
            f"{pair.difference:+.1f}",
            f"{pair.low:+.1f} to {pair.high:+.1f}",
            f"{pair.p_value:.4f}",
            f"{pair.corrected:.4f}",
        ]
        for pair in found.pairs
    ]
    return heads, rows


def type_rows(found: Comparison) -> tuple[list[str], list[list[str]]] | None:
    """Heads and one row a group of the first breakdown (question types); None where there is none."""
    told = [look_up(t.results or {}, "by_type") or {} for m in found.methods for t in m.trials]
    names = [name for name in dict.fromkeys(n for groups in told for n in groups)]
    if not names:
        return None
    name = "question_type" if "question_type" in names else names[0]
    values = sorted({value for groups in told for value in groups.get(name, {})})
    columns = {value: Column(value, "") for value in values}
    rows = []
    for value, column in columns.items():
        cells = []
        for method in found.methods:
            own = [
                (look_up(t.results or {}, "by_type") or {}).get(name, {}).get(value) for t in method.trials
            ]
            cells.append(column.show([float(v) for v in own if v is not None]))
        rows.append([value, *cells])
    return [name.replace("_", " "), *(method.label for method in found.methods)], rows


def failed_rows(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads and one row a run that did not finish."""
    rows = [[name, str(trial.seed), trial.error or "", str(trial.path)] for name, trial in found.failed]
    return ["method", "seed", "error", "folder"], rows


def markdown(found: Comparison) -> str:
    """The comparison as Markdown: conditions, methods, pairs, types, failures."""
    parts = []
    if found.conditions:
        parts.append("Not equal: " + "; ".join(found.conditions) + ".")
    parts.append(markdown_table(*method_rows(found)))
    if found.pairs:
        parts.append(markdown_table(*pair_rows(found)))
    types = type_rows(found)
    if types:
        parts.append(markdown_table(*types))
    if found.failed:
        parts.append(markdown_table(*failed_rows(found)))
    return "\n\n".join(parts) + "\n"


def write_csv(found: Comparison, path: Path, settings: Sequence[str]) -> None:
    """A line a run, failed ones included: label, seed, score, figures, the settings that differ."""
    heads = ["method", "seed", "score", *(column.title for column in COLUMNS), *settings, "error", "folder"]
    runs = [(m.label, t) for m in found.methods for t in m.trials] + list(found.failed)
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        for label, trial in runs:
            results = trial.results or {}
            writer.writerow(
                [
                    label,
                    trial.seed,
                    look_up(results, f"scores.{found.headline}"),
                    *(column.value(results) for column in COLUMNS),
                    *(trial.settings.get(name) for name in settings),
                    trial.error or "",
                    trial.path,
                ]
            )
