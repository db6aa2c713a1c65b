"""`results.json`: what a run was and what came out, for people and for `tables`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vl_dora.reports.files import whole_file


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Writes one JSON object, whole or not at all.

    Raises:
        ValueError: a value is NaN or infinite, which JSON has no word for; a score that could
            not be had is written as null.
    """
    text = json.dumps(dict(results), indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def read_results(path: Path) -> dict[str, Any]:
    """Reads what `write_results` wrote; `path` is the file or the run directory that holds it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not one JSON object.
    """
    file = path / "results.json" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; a finished run directory holds a results.json")
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(results, dict):
        raise ValueError(f"{file} holds a {type(results).__name__}; a results file is one JSON object")
    return results
