"""Prints Markdown tables of finished runs: one row a method, mean ± spread over seeds.

    python tools/tabulate_runs.py runs/sweeps/vqa/2026-11-23_22-00-00/*
    python tools/tabulate_runs.py runs/sweeps/coco_caption/2026-11-24_20-00-00/* --also bleu_4 rouge_l
    python tools/tabulate_runs.py runs/sweeps/llava/*/* --evaluations llava_vqav2:accuracy pope:f1

The first table holds score, baselines and cost; the second the scores by question type; with --evaluations a
third holds what `evaluate run=… benchmark=…` left in the runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vl_dora.reports.results import read_results
from vl_dora.reports.tables import Column, comparison_rows, markdown_table

MIB = 1024**2 / 1e6


def columns_of(headline: str, also: Sequence[str] = (), *, people: bool = False) -> list[Column]:
    """Scores, before, question only, human agreement where `people`, share, seconds, memory."""
    agreement = Column("human agreement %", f"baselines.human_agreement.scores.{headline}")
    return [
        *(Column(f"{name} %", f"scores.{name}") for name in (headline, *also)),
        Column("before %", f"before.scores.{headline}"),
        Column("question only %", f"baselines.question_only.scores.{headline}"),
        *([agreement] if people else []),
        Column("trainable", "trainable", digits=0),
        Column("share %", "share_percent", digits=2),
        Column("s a step", "seconds_a_step", digits=3),
        Column("s of training", "seconds_of_training", digits=0),
        Column("peak memory MB", "peak_memory_mib.process", digits=0, scale=MIB),
    ]


def by_type(runs: Sequence[Mapping[str, Any]], by: str, kind: str) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the mean score of every question type; question-only and before come first."""
    groups: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for run in runs:
        for name, node in (
            ("question only", run["baselines"]["question_only"]),
            ("before", run.get("before")),
        ):
            if node:
                groups[name].append(node["by_type"][kind])
        groups[str(run[by])].append(run["by_type"][kind])
    types = list(next(iter(groups.values()))[0])
    rows = [
        [name, *(f"{statistics.fmean(found[t] for found in members):.1f}" for t in types)]
        for name, members in groups.items()
    ]
    return ["", *types], rows


def with_evaluations(run: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """The results of a run with the scores of its evaluations under `evaluations.<benchmark>`."""
    found = {}
    for benchmark in {name.partition(":")[0] for name in wanted}:
        folder = run / "evaluations" / benchmark
        if not (folder / "results.json").is_file():
            sys.exit(
                f"error: {folder} holds no results.json; make it by evaluate run={run} benchmark={benchmark}"
            )
        found[benchmark] = read_results(folder)["scores"]
    return {**read_results(run), "evaluations": found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    parser.add_argument("--by", default="adapter", help="what a row is: an entry of results.json")
    parser.add_argument("--types", default="question_type", help="breakdown of the second table")
    parser.add_argument("--also", nargs="*", default=[], help="further scores, such as bleu_4 rouge_l")
    parser.add_argument(
        "--evaluations", nargs="*", default=[], metavar="BENCHMARK:SCORE", help="for instance pope:f1"
    )
    options = parser.parse_args()
    if any(":" not in name for name in options.evaluations):
        sys.exit(
            f"error: --evaluations {' '.join(options.evaluations)}: each is BENCHMARK:SCORE, such as pope:f1"
        )
    runs = [read_results(path) for path in options.runs if (path / "results.json").is_file()]
    if not runs:
        sys.exit("error: none of these directories holds a results.json")
    unknown = [name for name in options.also if not all(name in (run["scores"] or {}) for run in runs)]
    if unknown:
        there = ", ".join(runs[0]["scores"] or ())
        sys.exit(f"error: --also {' '.join(unknown)} is not scored by every run; there: {there}")
    people = any("human_agreement" in (run["baselines"] or {}) for run in runs)
    columns = columns_of(runs[0]["headline"], options.also, people=people)
    rows = comparison_rows(runs, columns, by=options.by)
    sys.stdout.write(markdown_table([options.by, "runs", *(c.title for c in columns)], rows) + "\n")
    if all(options.types in (run.get("by_type") or {}) for run in runs):
        heads, rows = by_type(runs, options.by, options.types)
        sys.stdout.write("\n" + markdown_table(heads, rows) + "\n")
    if options.evaluations:
        folders = [path for path in options.runs if (path / "results.json").is_file()]
        evaluated = [with_evaluations(path, options.evaluations) for path in folders]
        columns = [Column(name, f"evaluations.{name.replace(':', '.')}") for name in options.evaluations]
        rows = comparison_rows(evaluated, columns, by=options.by)
        sys.stdout.write("\n" + markdown_table([options.by, "runs", *options.evaluations], rows) + "\n")


if __name__ == "__main__":
    main()
