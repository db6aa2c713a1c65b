"""Which answers and which kinds of questions a split has, and which of them training never shows."""

from __future__ import annotations

from collections.abc import Sequence

from data_modules.checks.finding import OK, WARNING, Figures, Finding, few, percent, shares
from data_modules.checks.rows import Rows

ONE_SIDED = 0.9  # share of one answer from which on saying it always is hard to beat
UNSEEN = 0.2  # share of evaluation samples whose answer training never shows
FREE_TEXT = 0.5  # distinct targets a sample from which on they are sentences, not classes
MOST_GROUPS = 100  # distinct values from which on a group is a name, not a kind


def balance(rows: Rows, figures: Figures) -> list[Finding]:
    """Shares of answers and of every group, and whether one answer is nearly all."""
    if not rows:
        return []
    targets = [example.target for example, _ in rows if example.target]
    for key in sorted({key for example, _ in rows for key in example.groups}):
        found = shares(example.groups[key] for example, _ in rows if key in example.groups)
        if 1 < found["distinct"] <= MOST_GROUPS:
            figures.shares[key.replace("_", " ")] = found
    if not targets:
        return []
    found = shares(targets)
    distinct, (answer, count) = found["distinct"], found["top"][0]
    if distinct > FREE_TEXT * len(targets):
        return [
            Finding(OK, "balance", f"{distinct:,} distinct targets in {len(targets):,} samples: free text")
        ]
    figures.shares["target"] = found
    most = f"{answer!r} is {percent(count, len(targets))} of {len(targets):,} targets"
    if distinct == 1:
        return [Finding(WARNING, "balance", f"every target is {answer!r}: there is nothing to tell apart")]
    if count > ONE_SIDED * len(targets):
        return [Finding(WARNING, "balance", f"{most}: a network that always says it is hard to beat")]
    return [Finding(OK, "balance", f"{distinct:,} distinct targets; {most}, the largest share")]


def unseen(train: Rows, evaluation: Rows, name: str) -> list[Finding]:
    """Targets and kinds of questions of an evaluation split that training never shows."""
    known = {text for e, _ in train for text in (e.target, *(target for target, _ in e.targets))}
    asked = [(e, where) for e, where in evaluation if e.target]
    findings = []
    distinct = len({e.target for e, _ in asked})
    if asked and distinct <= FREE_TEXT * len(asked):
        new = [f"{where}: {e.target!r}" for e, where in asked if e.target not in known]
        if len(new) > UNSEEN * len(asked):
            findings.append(Finding(WARNING, "answers", _no_target(new, asked, name), new))
        elif new:
            findings.append(Finding(OK, "answers", _no_target(new, asked, name)))
        else:
            findings.append(Finding(OK, "answers", f"every target of {name} is one in training too"))
    for key in sorted({key for e, _ in asked for key in e.groups}):
        trained = {e.groups[key] for e, _ in train if key in e.groups}
        kinds = sorted({e.groups[key] for e, _ in asked if key in e.groups})
        fresh = [kind for kind in kinds if kind not in trained]
        if trained and fresh and len(kinds) <= MOST_GROUPS:
            text = f"{key.replace('_', ' ')} in {name} and not in training: {few(fresh)}"
            findings.append(Finding(OK, "kinds", text, fresh))
    return findings


def _no_target(new: Sequence[str], asked: Rows, name: str) -> str:
    share = percent(len(new), len(asked))
    return f"{share} of the targets of {name} ({len(new):,} of {len(asked):,}) are no target in training"
