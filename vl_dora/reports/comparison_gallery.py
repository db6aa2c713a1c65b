"""The answers of all methods to single samples: those that no method or not every method got right first."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vl_dora.reports.comparison import Comparison

ALL_WRONG, DIFFERENT, ALL_RIGHT = "all wrong", "methods differ", "all right"
VERDICTS = (DIFFERENT, ALL_WRONG, ALL_RIGHT)
RIGHT = 99.5  # percent of a sample's score


@dataclass(frozen=True)
class Said:
    """What one method said of a sample: its answers over seeds, each once; their mean score, percent."""

    label: str
    texts: tuple[str, ...]
    percent: float

    @property
    def tone(self) -> str:
        return "right" if self.percent >= RIGHT else "wrong" if self.percent <= 0 else "partly"


@dataclass(frozen=True)
class Shown:
    """One sample of the gallery; `groups` also holds the verdict."""

    id: str
    prompt: str
    truth: str
    said: tuple[Said, ...]
    verdict: str
    groups: Mapping[str, str]
    pictures: tuple[str, ...]
    lost: str = ""


def gallery(
    found: Comparison, *, limit: int, read: Callable[[Mapping[str, Any]], Sequence[str]]
) -> tuple[list[Shown], dict[str, int]]:
    """At most `limit` samples in equal shares of the three verdicts while there are such, and all counts.

    Args:
        found: the methods; samples that not all of them scored are left out.
        limit: how many are shown.
        read: a line of predictions -> its pictures as addresses; OSError or ValueError where they are gone.
    """
    scored = [trial.scores for method in found.methods for trial in method.trials]
    ids = [name for name in scored[0] if all(name in own for own in scored)]
    by_verdict: dict[str, list[tuple[float, str]]] = {verdict: [] for verdict in VERDICTS}
    for name in ids:
        means = [statistics.fmean(t.scores[name] for t in m.trials) for m in found.methods]
        if min(means) >= RIGHT:
            verdict = ALL_RIGHT
        elif max(means) <= 0:
            verdict = ALL_WRONG
        else:
            verdict = DIFFERENT
        # The widest difference between methods first.
        by_verdict[verdict].append((min(means) - max(means), name))
    counts = {verdict: len(names) for verdict, names in by_verdict.items()}
    chosen: list[tuple[str, str]] = []
    turn = 0
    while len(chosen) < min(limit, len(ids)):
        for verdict in VERDICTS:
            rows = sorted(by_verdict[verdict], key=lambda row: row[0])
            if turn < len(rows) and len(chosen) < limit:
                chosen.append((verdict, rows[turn][1]))
        turn += 1
    chosen.sort(key=lambda row: VERDICTS.index(row[0]))
    return [_shown(found, verdict, name, read) for verdict, name in chosen], counts


def _shown(
    found: Comparison, verdict: str, name: str, read: Callable[[Mapping[str, Any]], Sequence[str]]
) -> Shown:
    line = found.methods[0].trials[0].answers[name]
    said = []
    for method in found.methods:
        texts = dict.fromkeys(str(trial.answers[name]["text"]) for trial in method.trials)
        percent = statistics.fmean(trial.scores[name] for trial in method.trials)
        said.append(Said(method.label, tuple(texts), percent))
    answers = list(dict.fromkeys(line.get("answers") or [line.get("target", "")]))
    pictures: Sequence[str] = ()
    lost = ""
    # A page of runs must not fall over a picture that has gone since.
    try:
        pictures = read(line)
    except (OSError, ValueError) as error:
        lost = str(error)
    groups = {key: str(value) for key, value in (line.get("groups") or {}).items()}
    return Shown(
        name,
        str(line["prompt"]),
        ", ".join(answers[:5]),
        tuple(said),
        verdict,
        {**groups, "verdict": verdict},
        tuple(pictures),
        lost,
    )
