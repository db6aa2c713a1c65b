"""The CSV log of a run that was interrupted and went on: one file, every step once.

Lightning's CSV logger deletes what an earlier process wrote.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

METRICS, EARLIER = "metrics.csv", "metrics.earlier.csv"


def set_aside(run_dir: Path) -> None:
    """Keeps what earlier processes logged from being deleted; call before the logger begins."""
    join(run_dir)
    if (run_dir / METRICS).is_file():
        os.replace(run_dir / METRICS, run_dir / EARLIER)


def join(run_dir: Path) -> None:
    """Puts the earlier rows, up to where the later ones begin, before them in one file."""
    from vl_dora.reports.files import whole_file

    earlier, later = _rows(run_dir / EARLIER), _rows(run_dir / METRICS)
    if not earlier:
        return
    begin = min((int(row["step"]) for row in later), default=None)
    rows = [row for row in earlier if begin is None or int(row["step"]) < begin] + later
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with whole_file(run_dir / METRICS) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    (run_dir / EARLIER).unlink()


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit()]
