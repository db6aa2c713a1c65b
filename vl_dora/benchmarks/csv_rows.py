"""Result files of comma-separated rows, as NLVR2 and Cornell NLVR ask for them."""

from __future__ import annotations

import csv
from pathlib import Path

from vl_dora.benchmarks.fields import text_of
from vl_dora.benchmarks.files import as_text, by_id, values_of


def pairs_of(path: Path | str) -> dict[str, str]:
    """Rows `id,answer` without a header, by id; one JSON object {id: answer} is read as well.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a row has not two fields, an answer is no text, or ids are in it twice.
    """
    text = text_of(path, "predictions")
    if text.lstrip().startswith("{"):
        return {name: as_text(value, name) for name, value in values_of(path, "predictions").items()}
    rows: list[tuple[list[str], str]] = []
    for number, row in enumerate(csv.reader(text.splitlines()), start=1):
        where = f"{path}, row {number}"
        if not row:
            continue
        if len(row) != 2:
            raise ValueError(f"{where}: expected id,answer, got {','.join(row)!r}")
        rows.append(([field.strip() for field in row], where))
    found = by_id(rows, lambda row, where: row[0], f"predictions={path}")
    return {name: row[1] for name, row in found.items()}
