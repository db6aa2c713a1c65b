"""Two pictures of a comparison, as SVG: score against trainable share, and learning curves."""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vl_dora.reports.comparison import Comparison, Method
from vl_dora.reports.curve import running_median
from vl_dora.reports.files import whole_file

# Okabe & Ito's colours, told apart by people with any colour vision; then markers tell methods apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b6b", "#8a7000")
MARKERS = "osD^vP*X"


def scatter(found: Comparison) -> str:
    """Score with its interval against the trainable share of all parameters; SVG text."""
    figure, axes = _figure(5.6, 4.0)
    shares = []
    for number, method in enumerate(found.methods):
        share = method.figure("share_percent")
        if share is None:
            continue
        shares.append(share)
        colour, marker = _look(number)
        errors = None
        if method.interval:
            low, high = method.interval
            errors = [[max(0.0, method.mean - low)], [max(0.0, high - method.mean)]]
        axes.errorbar(
            [share],
            [method.mean],
            yerr=errors,
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=8,
            label=method.label,
        )
    if shares and max(shares) > 0:
        # Nothing trains in a frozen network: zero stands left of the smallest share.
        axes.set_xscale("symlog", linthresh=min(share for share in shares if share > 0))
        axes.set_xlim(left=0 if 0 in shares else None)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("trainable parameters, % of all")
    axes.set_ylabel(f"{found.headline}, %")
    axes.legend(fontsize=8)
    return _svg(figure)


def learning_curves(found: Comparison, column: str, *, smooth: int = 1) -> str | None:
    """Mean over seeds of a logged column, the range over seeds as a band; SVG text, None without values."""
    figure, axes = _figure(5.6, 4.0)
    drawn = False
    for number, method in enumerate(found.methods):
        points = _over_seeds(method, column, smooth)
        if not points:
            continue
        drawn = True
        colour, marker = _look(number)
        steps = [step for step, *_ in points]
        axes.plot(
            steps,
            [mean for _, mean, _, _ in points],
            color=colour,
            marker=marker if len(points) <= 20 else None,
            markersize=4,
            label=method.label,
        )
        if len(method.trials) > 1:
            lows, highs = [low for *_, low, _ in points], [high for *_, high in points]
            axes.fill_between(steps, lows, highs, color=colour, alpha=0.15, linewidth=0)
    if not drawn:
        return None
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel(column)
    if smooth > 1:
        axes.set_yscale("log")
    axes.legend(fontsize=8)
    return _svg(figure)


def _over_seeds(method: Method, column: str, smooth: int) -> list[tuple[float, float, float, float]]:
    """(step, mean, lowest, highest) where all trials of the method have a value."""
    series = []
    for trial in method.trials:
        steps, values = trial.curve.get(column, ([], []))
        series.append(dict(zip(steps, running_median(values, smooth), strict=True)))
    common = sorted(set.intersection(*(set(one) for one in series))) if series else []
    rows = [(step, [one[step] for one in series]) for step in common]
    return [(step, statistics.fmean(values), min(values), max(values)) for step, values in rows]


def _look(number: int) -> tuple[str, str]:
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # matplotlib costs half a second, and a Figure without pyplot needs no display and leaks no state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _svg(figure: Any) -> str:
    from matplotlib import rc_context

    text = io.StringIO()
    # Letters stay text, sized by the reader; without a date the same figures give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "vl_dora"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def data_uri(svg: str) -> str:
    """The picture as an address, so that the ids inside two of them do not meet in one page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def write_charts(charts: Sequence[tuple[str, str]], folder: Path) -> None:
    """Writes each (name, SVG text) as `<name>.svg`."""
    for name, svg in charts:
        with whole_file(folder / f"{name}.svg") as draft:
            draft.write_text(svg, encoding="utf-8")
