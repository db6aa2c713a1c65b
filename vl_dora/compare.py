"""Methods side by side: python -m vl_dora.compare runs=<folder of a sweep>

Reads finished and failed run directories; writes one HTML page, CSV, a Markdown table and two pictures.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vl_dora.entry_point import launch

log = logging.getLogger(__name__)


def compare(options: DictConfig) -> Path:
    """Compares the runs by method; returns the folder of the page."""
    from vl_dora.building import plain
    from vl_dora.reports.comparison import compare_trials
    from vl_dora.reports.comparison_charts import learning_curves, scatter, write_charts
    from vl_dora.reports.comparison_page import write_page
    from vl_dora.reports.comparison_tables import markdown, write_csv
    from vl_dora.reports.files import whole_file
    from vl_dora.reports.trials import read_trial
    from vl_dora.run_directory import find_runs, read_config

    if isinstance(options.samples, bool) or not isinstance(options.samples, int) or options.samples < 0:
        raise ValueError(f"samples={options.samples} must be a whole number, 0 for a page without answers")
    trials = [read_trial(path, plain(read_config(path))) for path in find_runs(plain(options.runs))]
    found = compare_trials(trials)
    if found.conditions and options.equal_terms:
        raise ValueError("the runs are not on equal terms: " + "; ".join(found.conditions))
    objective = str((found.methods[0].trials[0].results or {}).get("objective", {}).get("name"))
    curves = {
        "learning-curve": (f"{options.curve or objective} over the steps", options.curve or objective, 1),
        "loss-curve": ("training loss over the steps (running median)", "train/loss", 15),
    }
    charts: dict[str, tuple[str, str]] = {
        "score-against-share": (f"{found.headline} against trainable share", scatter(found))
    }
    for name, (caption, column, smooth) in curves.items():
        svg = learning_curves(found, column, smooth=smooth)
        if svg is not None:
            charts[name] = (caption, svg)
        elif options.curve and name == "learning-curve":
            logged = sorted({c for m in found.methods for t in m.trials for c in t.curve})
            raise ValueError(f"curve={options.curve} was not logged; there are {', '.join(logged)}")
    out = Path(str(options.out)).expanduser().absolute()
    title = options.title or _title(found)
    write_page(
        found, out / "comparison.html", title=title, charts=list(charts.values()), limit=options.samples
    )
    write_csv(found, out / "comparison.csv", found.varied)
    with whole_file(out / "comparison.md") as draft:
        draft.write_text(markdown(found), encoding="utf-8")
    write_charts([(name, svg) for name, (_, svg) in charts.items()], out)
    log.info("%s\n%s", markdown(found), out / "comparison.html")
    return out


def _title(found: Any) -> str:
    results = found.methods[0].trials[0].results
    return f"{results['task']}: {', '.join(method.label for method in found.methods)}"


def main() -> None:
    """The command line."""
    launch("compare", compare)


if __name__ == "__main__":
    main()
