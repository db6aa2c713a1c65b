"""One picture of a training: loss, validation scores and learning rate over the steps."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from vl_dora.reports.files import whole_file

Points = tuple[list[float], list[float]]


def read_metrics(metrics_csv: Path) -> dict[str, Points]:
    """Column -> (steps, values) of a Lightning CSV log; empty and non-finite cells left out.

    Raises:
        ValueError: the file has no `step` column.
    """
    series: dict[str, Points] = {}
    with metrics_csv.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if "step" not in (rows.fieldnames or ()):
            raise ValueError(f"{metrics_csv} has no column 'step'; its columns are {rows.fieldnames}")
        for row in rows:
            for column, cell in row.items():
                if column in ("step", "epoch") or not cell or not math.isfinite(float(cell)):
                    continue
                steps, values = series.setdefault(column, ([], []))
                steps.append(float(row["step"]))
                values.append(float(cell))
    return series


def running_median(values: Sequence[float], width: int) -> list[float]:
    """The median of the `width` values around each place, fewer at the ends."""
    half = width // 2
    return [statistics.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]


def write_curve(
    metrics_csv: Path,
    png: Path,
    *,
    title: str,
    loss: str = "train/loss",
    scores: str = "val/",
    rates: str = "lr",
) -> None:
    """Draws the columns of a Lightning CSV log that are there; a panel without values is left out.

    Args:
        metrics_csv: `metrics.csv` of the CSV logger.
        png: the picture to write.
        title: shown above it.
        loss: the column of the training loss.
        scores: what the columns of validation scores (percent) begin with; breakdowns, which have
            a further slash, are left out.
        rates: what the columns of learning rates begin with.

    Raises:
        ValueError: none of these columns holds a value.
    """
    series = read_metrics(metrics_csv)
    losses = {name: points for name, points in series.items() if name == loss}
    headings = (n for n in series if n.startswith(scores) and "/" not in n[len(scores) :])
    percents = {name: series[name] for name in headings if not name.endswith("loss")}
    speeds = {name: points for name, points in series.items() if name.startswith(rates)}
    panels = [(kind, found) for kind, found in enumerate((losses, percents, speeds)) if found]
    if not panels:
        raise ValueError(f"{metrics_csv} has no column '{loss}', '{scores}…' or '{rates}…' with values")

    # matplotlib costs half a second, and a Figure without pyplot needs no display and leaks no state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [(3.0, 2.6, 1.3)[kind] for kind, _ in panels]
    figure = Figure(figsize=(8.0, 1.0 + sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.02, ha="left")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for (kind, found), axes in zip(panels, grid[:, 0], strict=True):
        (_draw_loss, _draw_scores, _draw_rates)[kind](axes, found)
        axes.grid(True, color="#e3e3e3", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1, 0].set_xlabel("optimizer step")
    last = max(steps[-1] for _, found in panels for steps, _ in found.values())
    grid[-1, 0].set_xlim(0, max(1.0, 1.07 * last))  # room for the last score's figure
    figure.align_ylabels()
    with whole_file(png) as draft:
        figure.savefig(draft, dpi=130, format="png")


def _draw_loss(axes, found: dict[str, Points]) -> None:
    ((steps, values),) = found.values()
    axes.plot(steps, values, color="#9db8d9", linewidth=1.0, marker="." if len(values) < 20 else "")
    if len(values) >= 20:
        smooth = running_median(values, width=max(5, len(values) // 25))
        axes.plot(steps, smooth, color="#1f4e8c", linewidth=2.0, label="running median")
        axes.legend(frameon=False, loc="upper right")
    # A loss that falls far is read on a logarithmic axis; one with zeros cannot be.
    if min(values) > 0 and max(values) / min(values) > 20:
        axes.set_yscale("log")
    axes.set_ylabel("training loss")


def _draw_scores(axes, found: dict[str, Points]) -> None:
    for name, (steps, values) in found.items():
        axes.plot(steps, values, marker="o", markersize=4, linewidth=1.8, label=name)
        axes.annotate(
            f"{values[-1]:.1f}",
            (steps[-1], values[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_ylim(0, 104)
    axes.set_ylabel("score (%)")
    axes.legend(frameon=False, loc="lower right")


def _draw_rates(axes, found: dict[str, Points]) -> None:
    for name, (steps, values) in found.items():
        axes.plot(steps, values, linewidth=1.8, label=name)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.set_ylabel("learning rate")
    if len(found) > 1:
        axes.legend(frameon=False, loc="upper right", fontsize="small")
