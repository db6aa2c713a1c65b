"""The checks of a data set as lines of text: what is wrong first, with the first examples."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

LEVELS = ("error", "warning", "ok")
SHOWN = 3  # examples of a finding


def preview_table(report: Mapping[str, Any], width: int = 110) -> str:
    """All findings, a block for each split.

    Args:
        report: as `data_modules.checks.inspect` makes it, perhaps with `page`.
        width: columns of the text.
    """
    lines: list[str] = []
    for task in report["tasks"]:
        lines += [f"{task['task']}  {task['folder']}", ""]
        for split in task["splits"]:
            role = "" if split["role"] == split["split"] else f" ({split['role']})"
            lines.append(
                f"  {split['split']}{role}, {split['samples']:,} samples, {split['fit']:,} of them fit"
            )
            lines += _findings(split["findings"], width)
        for pair in task["between"]:
            lines.append(f"  training and {pair['split']}")
            lines += _findings(pair["findings"], width)
    return "\n".join([*lines, *_sum(report)])


def _findings(findings: Iterable[Mapping[str, Any]], width: int) -> list[str]:
    lines = []
    for finding in sorted(findings, key=lambda f: LEVELS.index(f["level"])):
        word = finding["level"] if finding["level"] == "ok" else finding["level"].upper()
        lines += _wrapped(finding["text"], f"    {word:<8}{finding['check']:<15}", width)
        if finding["level"] == "ok":
            continue
        for example in finding["examples"][:SHOWN]:
            lines += _wrapped(example, " " * 27 + "· ", width)
        more = len(finding["examples"]) - SHOWN
        if more > 0:
            lines.append(" " * 29 + f"and {more:,} more")
    return [*lines, ""]


def _wrapped(text: str, head: str, width: int) -> list[str]:
    """Lines of the text, the first behind `head`, the others below its end."""
    room = textwrap.TextWrapper(width, head, " " * len(head), break_long_words=False, break_on_hyphens=False)
    return room.wrap(" ".join(text.split()))


def _sum(report: Mapping[str, Any]) -> list[str]:
    counts = [_counted(report["errors"], "error"), _counted(report["warnings"], "warning")]
    lines = [", ".join(counts)]
    if "page" in report:
        lines.append(report["page"])
    return lines


def _counted(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
