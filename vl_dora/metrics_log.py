"""The CSV log of a run: every row on the disk at once, and one file for all processes that worked on a run.

A process that goes on with a run keeps the rows of the steps before its checkpoint and logs the later ones
anew, so that the file is the one of a run that was never interrupted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from vl_dora.reports.files import whole_file

METRICS = "metrics.csv"


class MetricsLog(Logger):
    """Writes `metrics.csv` into a folder, a row a call; a new column rewrites the file, whole or not at all.

    Args:
        folder: of the file; made with the first row.
    """

    def __init__(self, folder: Path | str) -> None:
        super().__init__()
        self.path = Path(folder) / METRICS
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        """Nothing: there is one log a folder."""
        return ""

    @property
    def version(self) -> str:
        """Nothing: there is one log a folder."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the file."""
        return str(self.path.parent)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Writes nothing: `config.yaml` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds a row."""
        row = {**metrics, "step": step or 0}
        # After the last step Lightning counts passes otherwise in a run that goes on; steps tell all.
        row.pop("epoch", None)
        if self._columns is None:
            self._columns = read_rows(self.path)[0]
        new = sorted(set(row) - set(self._columns))
        if new:
            self._columns = [*self._columns, *new]
            write_rows(self.path, self._columns, [*read_rows(self.path)[1], row])
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                file.write(_text(self._columns, [row], head=False))


def keep_rows_before(path: Path, step: int) -> None:
    """Drops the rows of optimizer steps from `step` (counted from 0) on, and a row that a kill cut off."""
    if path.is_file():
        columns, rows = read_rows(path)
        write_rows(path, columns, [row for row in rows if int(row["step"]) < step])


def read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and whole rows of a log; nothing where there is no file."""
    if not path.is_file():
        return [], []
    # What follows the last line break is what a kill left of a row.
    text = path.read_text(encoding="utf-8", errors="replace")
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    rows = [row for row in reader if (row.get("step") or "").isdigit()]
    return list(reader.fieldnames or []), rows


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a log, whole or not at all."""
    with whole_file(path) as draft:
        draft.write_text(_text(columns, rows, head=True), encoding="utf-8", newline="")


def _text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, head: bool) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if head:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
