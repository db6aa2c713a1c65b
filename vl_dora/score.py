"""Scores files: python -m vl_dora.score metric=<name> predictions=<file> references=<file> [output=json]

The official result and annotation files of a benchmark in, its official scores with intervals out. With
`against=<second predictions file>` both are scored, and the difference is tested in pairs.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import CONFIG_PACKAGE, launch


def score(config: DictConfig) -> dict[str, Any]:
    """Writes the scores of a composed config to standard output, and returns them."""
    from vl_dora.building import made

    if config.output not in ("table", "json"):
        raise ValueError(f"output={config.output} must be table or json")
    if config.resamples < 0:
        raise ValueError(f"resamples={config.resamples} must be 0 (no intervals) or more")
    metric = OmegaConf.select(config, "metric")
    if metric is None:
        raise ValueError(f"metric is not set; allowed: {', '.join(_names())}")
    given = {name: Path(str(config[name])) for name in ("predictions", "references")}
    if config.against is not None:
        given["against"] = Path(str(config.against))
    found = _report(config, made(metric), given)
    text = (
        json.dumps(_finite(found), indent=2, ensure_ascii=False) if config.output == "json" else _table(found)
    )
    sys.stdout.write(f"{text}\n")
    return found


def _report(config: DictConfig, metric: Any, given: Mapping[str, Path]) -> dict[str, Any]:
    from vl_dora.metrics.resampling import intervals, paired_differences

    scored = metric(given["predictions"], given["references"])
    settings = {"level": config.level, "resamples": config.resamples, "seed": config.seed}
    report: dict[str, Any] = {
        **{name: str(path) for name, path in given.items()},
        "items": len(scored.clusters),
        "scale": scored.scale,
        "scores": scored.scores,
    }
    if config.resamples:
        report["intervals"] = {name: list(ends) for name, ends in intervals(scored, **settings).items()}
    report |= {"by_type": scored.by_type, "notes": list(scored.notes)}
    if "against" in given:
        try:
            second = metric(given["against"], given["references"])
        except ValueError as error:
            raise ValueError(f"against: {error}") from error
        report["against_scores"] = second.scores
        if config.resamples:
            try:
                differences = paired_differences(scored, second, **settings)
            except ValueError as error:
                raise ValueError(
                    f"predictions={given['predictions']} and against={given['against']}: {error}"
                ) from error
            report["differences"] = {
                name: {
                    "difference": found.difference,
                    "interval": [found.low, found.high],
                    "p_value": found.p_value,
                }
                for name, found in differences.items()
            }
    return report | {"resampling": settings}


def _table(report: Mapping[str, Any]) -> str:
    digits = 2 if report["scale"].startswith("percent") else 4
    level = f"{100 * report['resampling']['level']:g} %"
    lines = [f"{report['items']} items, {report['scale']}"]
    rows = []
    for name, value in report["scores"].items():
        low_high = report.get("intervals", {}).get(name)
        cells = [name, f"{value:.{digits}f}"] + ([_ends(low_high, digits)] if low_high else [])
        if "against_scores" in report:
            cells.append(f"{report['against_scores'].get(name, math.nan):.{digits}f}")
        if "differences" in report:
            pair = report["differences"][name]
            cells += [
                f"{pair['difference']:+.{digits}f}",
                _ends(pair["interval"], digits),
                f"{pair['p_value']:.4f}",
            ]
        rows.append(cells)
    heads = ["score", "value"] + ([level] if "intervals" in report else [])
    heads += ["against"] if "against_scores" in report else []
    heads += ["against - predictions", level, "p"] if "differences" in report else []
    lines += ["", *_aligned(heads, rows)]
    for breakdown, found in report["by_type"].items():
        shown = [[name, f"{value:.{digits}f}"] for name, value in found.items()]
        lines += ["", *_aligned([breakdown, ""], shown)]
    lines += ["", *(f"note: {note}" for note in report["notes"])] if report["notes"] else []
    return "\n".join(lines)


def _ends(ends: Sequence[float], digits: int) -> str:
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    return [
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in pairs)
        for pairs in ([*enumerate(zip(row, widths, strict=True))] for row in [heads, *rows])
    ]


def _finite(value: Any) -> Any:
    """JSON has no NaN: an undefined number is null."""
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _names() -> list[str]:
    folder = files(CONFIG_PACKAGE) / "metric"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def main() -> None:
    """The command line."""
    launch("score", score)


if __name__ == "__main__":
    main()
