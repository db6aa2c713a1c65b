"""The model card of an exported folder: base, data, method, scores, versions, and how it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def model_card(title: str, use: str, facts: Mapping[str, str], results: Mapping[str, Any] | None) -> str:
    """A README.md.

    Args:
        title: of the card.
        use: the command or code with which it is used.
        facts: what the table says, in order.
        results: `results.json` of the run; None: the run was not scored.
    """
    rows = [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    return "\n".join(
        [
            f"# {title}",
            "",
            *(f"    {line}" for line in use.splitlines()),
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
            "## Scores",
            "",
            *_scores(results),
            "",
            "## Versions",
            "",
            ", ".join(f"{name} {number}" for name, number in ((results or {}).get("versions") or {}).items())
            or "not recorded",
            "",
        ]
    )


def write_model_card(folder: Path, text: str) -> None:
    """Writes it as README.md of a folder that is not yet in its place."""
    (folder / "README.md").write_text(text, encoding="utf-8")


def _scores(results: Mapping[str, Any] | None) -> list[str]:
    scores = (results or {}).get("scores")
    if results is None or not scores:
        return ["This run was not scored."]
    where = f"{results.get('task')}, split {results.get('split')}, {results.get('samples')} samples"
    lines = [f"Of the run, percent: {where}.", "", "| score | |", "|---|---|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in scores.items()]
    interval = results.get("interval")
    if interval:
        lines += [
            "",
            f"95 % interval of {results.get('headline')}: {interval['low']:.2f} to {interval['high']:.2f}.",
        ]
    return lines


def _cell(value: str) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
