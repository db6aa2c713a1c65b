"""Change of magnitude against change of direction: a table, a picture, CSV and JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import StatisticsError, correlation, fmean, linear_regression

from vl_dora.reports.files import whole_file


@dataclass(frozen=True)
class Moved:
    """One weight of one run at one step; changes as in `vl_dora.adapters.decomposition`."""

    run: str
    method: str
    seed: int
    layer: str
    step: int
    magnitude: float
    direction: float

    @property
    def kind(self) -> str:
        """The last word of the layer's path, for instance q_proj."""
        return self.layer.rpartition(".")[2]


@dataclass(frozen=True)
class Line:
    """What the points of one method and one kind of weight say together.

    Args:
        method: adapter's name.
        kind: of weight; "all" for all of them.
        points: how many, over runs, layers and steps.
        correlation: Pearson's r of direction and magnitude; None where it has no meaning.
        slope: of the least-squares line, magnitude over direction.
        magnitude: mean change at the last step.
        direction: the same.
    """

    method: str
    kind: str
    points: int
    correlation: float | None
    slope: float | None
    magnitude: float
    direction: float


@dataclass(frozen=True)
class Summary:
    """All lines, methods in the order in which their runs came."""

    lines: tuple[Line, ...]

    def table(self) -> str:
        """Markdown."""
        rows = [
            "| method | weights | points | correlation | slope | end: magnitude | end: direction |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        rows += [
            f"| {line.method} | {line.kind} | {line.points} | {_cell(line.correlation, '+.2f')} "
            f"| {_cell(line.slope, '+.3g')} | {line.magnitude:.3g} | {line.direction:.3g} |"
            for line in self.lines
        ]
        return "\n".join(rows)


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def summarise(points: Sequence[Moved]) -> Summary:
    """Method by method, first over all weights, then by kind of weight.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError("there is nothing to summarise")
    lines = []
    for method in dict.fromkeys(point.method for point in points):
        own = [point for point in points if point.method == method]
        kinds = sorted({point.kind for point in own})
        for kind in ["all", *kinds] if len(kinds) > 1 else kinds:
            chosen = [point for point in own if kind in ("all", point.kind)]
            r, steepness = _related([p.direction for p in chosen], [p.magnitude for p in chosen])
            end = max(point.step for point in chosen)
            last = [point for point in chosen if point.step == end]
            lines.append(
                Line(
                    method,
                    kind,
                    len(chosen),
                    r,
                    steepness,
                    fmean(p.magnitude for p in last),
                    fmean(p.direction for p in last),
                )
            )
    return Summary(tuple(lines))


def _related(xs: Sequence[float], ys: Sequence[float]) -> tuple[float | None, float | None]:
    """Pearson's r and the slope of y over x; None where one of the two does not vary."""
    if len(xs) < 3:  # two points always lie on a line
        return None, None
    try:
        return correlation(xs, ys), linear_regression(xs, ys).slope
    except StatisticsError:
        return None, None


def write_analysis(points: Sequence[Moved], summary: Summary, folder: Path) -> None:
    """Writes analysis.csv (every point), analysis.json and analysis.md (the summary) and analysis.png."""
    with whole_file(folder / "analysis.csv") as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(asdict(points[0])))
        table.writeheader()
        table.writerows(asdict(point) for point in points)
    lines = json.dumps([asdict(line) for line in summary.lines], indent=2)
    for name, text in (("analysis.json", lines), ("analysis.md", summary.table())):
        with whole_file(folder / name) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
    _draw(points, summary, folder / "analysis.png")


MARKERS = "osD^vP*X"


def _draw(points: Sequence[Moved], summary: Summary, png: Path) -> None:
    """A panel a method and kind of weight; a colour a layer from input to output, a marker a step."""
    # matplotlib costs half a second, and a Figure without pyplot needs no display and leaks no state.
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(point.method for point in points))
    kinds = sorted({point.kind for point in points})
    if len(kinds) > 4:  # a panel a kind would be too small to read
        kinds = ["all"]
    layers = list(dict.fromkeys(sorted(point.layer for point in points)))
    steps = sorted({point.step for point in points})
    colours = {name: colormaps["viridis"](i / max(1, len(layers) - 1)) for i, name in enumerate(layers)}
    figure = Figure(figsize=(1.2 + 3.4 * len(methods), 0.9 + 2.9 * len(kinds)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(kinds), len(methods), squeeze=False)
    for row, kind in enumerate(kinds):
        for column, method in enumerate(methods):
            axes = panels[row][column]
            for point in points:
                if point.method == method and kind in ("all", point.kind):
                    marker = MARKERS[steps.index(point.step) % len(MARKERS)]
                    axes.plot(
                        point.direction,
                        point.magnitude,
                        marker,
                        color=colours[point.layer],
                        markersize=5,
                        alpha=0.8,
                    )
            line = next(one for one in summary.lines if (one.method, one.kind) == (method, kind))
            axes.set_title(f"{method}, {kind}: r = {_cell(line.correlation, '+.2f')}", fontsize=10)
            axes.ticklabel_format(style="sci", scilimits=(-2, 2))
            axes.grid(alpha=0.3)
            axes.tick_params(labelsize=8)
            if row == len(kinds) - 1:
                axes.set_xlabel("change of direction, mean of 1 - cos", fontsize=9)
            if column == 0:
                axes.set_ylabel("change of magnitude", fontsize=9)
    handles = [
        panels[0][0].plot([], [], MARKERS[i % len(MARKERS)], color="0.4", label=f"step {step}")[0]
        for i, step in enumerate(steps)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(8, len(steps)),
        fontsize=8,
        title="colour: from the first layer (dark) to the last (light)",
        title_fontsize=8,
    )
    with whole_file(png) as draft:
        figure.savefig(draft, format="png", dpi=120)
