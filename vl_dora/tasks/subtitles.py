"""A prompt about a clip with subtitles, which can spare lines far from the moment that is asked about."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLACE = re.compile(r"\{(\w+)\}")
PLACE = "subtitles"

Moment = tuple[float, float]
Spans = tuple[tuple[int, int], ...]


def filled(
    template: str, texts: Mapping[str, str], lines: Sequence[Mapping[str, Any]], moment: Moment | None
) -> tuple[str, Spans]:
    """A prompt, and which characters of it may be left out, in which order.

    Lines go whole: those farthest in time from the moment first, of two at one distance the later; without a
    moment from the end.

    Args:
        template: `{name}` is filled from `texts`, `{subtitles}` with the lines, a space between them.
        texts: what stands in the other places; braces in it mean nothing.
        lines: {"text", "start", "end"}, times in seconds, in the order of time.
        moment: start and end in seconds.
    """
    lines = [line for line in lines if line["text"]]
    parts = _PLACE.split(template)
    prompt, places = "", []
    for number, part in enumerate(parts):
        if number % 2 == 0:
            # A line brings the space behind it, so that a prompt without lines has no gap.
            bare = number > 0 and parts[number - 1] == PLACE and part.startswith(" ")
            prompt += part[1:] if bare else part
        elif part == PLACE:
            places = _places(len(prompt), lines)
            prompt += "".join(f"{line['text']} " for line in lines)
        else:
            prompt += texts[part]
    order = sorted(range(len(lines)), key=lambda n: (-_distance(lines[n], moment), -n))
    return prompt, tuple(places[n] for n in order if places)


def _places(start: int, lines: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    found = []
    for line in lines:
        end = start + len(line["text"]) + 1
        found.append((start, end))
        start = end
    return found


def _distance(line: Mapping[str, Any], moment: Moment | None) -> float:
    """Seconds between a line and the moment, 0 where they overlap."""
    return 0.0 if moment is None else max(0.0, line["start"] - moment[1], moment[0] - line["end"])


def moment_of(row: Mapping[str, Any]) -> Moment | None:
    """Start and end of a row's `ts` in seconds; None without it, or where it says nan."""
    if "ts" not in row:
        return None
    parts = row["ts"].split("-") if isinstance(row["ts"], str) else row["ts"]
    start, end = (float(part) for part in parts)
    return None if math.isnan(start) or math.isnan(end) else (start, end)


def moment_text(row: Mapping[str, Any], *, as_list: bool) -> str:
    """A row's `ts` as a prompt says it: `76.01-84.2`, TVQA's own form.

    Args:
        row: with `ts`, that text or a list of two numbers.
        as_list: a list is written as `[76.01, 84.2]`, as in the reference.

    Raises:
        KeyError: the row has no ts.
    """
    ts = row["ts"]
    if isinstance(ts, str):
        return ts
    return str(list(ts)) if as_list else "-".join(str(second) for second in ts)


def check_places(key: str, template: str, needed: Sequence[str], allowed: Sequence[str]) -> None:
    """Checks which places a template has.

    Raises:
        ValueError: one that is needed is missing, or one is unknown.
    """
    there = _PLACE.findall(template)
    missing = [name for name in needed if name not in there]
    strange = [name for name in there if name not in (*needed, *allowed)]
    if missing:
        raise ValueError(f"task.{key}={template!r} must contain {{{missing[0]}}}, where the row's text goes")
    if strange or len(set(there)) < len(there):
        known = ", ".join(f"{{{name}}}" for name in (*needed, *allowed))
        raise ValueError(f"task.{key}={template!r} may name {known}, each once; got {', '.join(there)}")
