"""The same asked twice within a split, and evaluation samples that training has seen."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from data_modules.checks.files import Ref, Seen
from data_modules.checks.finding import ERROR, OK, WARNING, Finding, percent
from data_modules.checks.rows import Rows
from vl_dora.batch import ClipRef, Example

Question = tuple[str, tuple[tuple[str, str], ...], tuple[Hashable, ...]]


def content(ref: Ref, seen: Mapping[Ref, Seen]) -> Hashable:
    """Equal for pictures of equal pixels and clips of equal files; by name where they were not read."""
    digest = seen[ref].digest
    if digest is not None:
        return digest
    return ref.path if isinstance(ref, ClipRef) else ref


def question(example: Example, seen: Mapping[Ref, Seen]) -> Question:
    """What is asked of what: the prompt, what was said before it, and the content of what it is about."""
    views = (
        (content(ref, seen), ref.start, ref.end) if isinstance(ref, ClipRef) else content(ref, seen)
        for ref in example.visuals
    )
    return example.prompt, example.turns, tuple(views)


def within(rows: Rows, seen: Mapping[Ref, Seen]) -> list[Finding]:
    """Samples of one split that ask the same of the same picture."""
    groups: dict[Question, list[tuple[Example, str]]] = {}
    for example, where in rows:
        groups.setdefault(question(example, seen), []).append((example, where))
    same, different = [], []
    for group in groups.values():
        first, *others = group
        for example, where in others:
            line = f"{_named(example, where)} asks what {_named(*first)} asks: {_short(example.prompt)}"
            if example.target == first[0].target:
                same.append(line)
            else:
                different.append(f"{line} and wants {example.target!r}, not {first[0].target!r}")
    findings = []
    if same:
        text = f"{len(same):,} of {len(rows):,} samples are asked, and to be answered, as an earlier one"
        findings.append(Finding(WARNING, "repeats", text, same))
    if different and len({prompt for prompt, _, _ in groups}) == 1:
        text = f"{len(rows):,} samples of {len(groups):,} different pictures: several targets of one picture"
        findings.append(Finding(OK, "repeats", text))
    elif different:
        text = f"{len(different):,} of {len(rows):,} samples ask what an earlier one asks, for another answer"
        findings.append(Finding(WARNING, "contradictions", text, different))
    if rows and not findings:
        findings.append(Finding(OK, "repeats", "no sample asks what another one asks"))
    return findings


def between(train: Rows, evaluation: Rows, seen: Mapping[Ref, Seen], name: str) -> list[Finding]:
    """What an evaluation split has in common with training.

    Args:
        train: the training samples.
        evaluation: the other split's.
        seen: every picture and clip of both.
        name: of the other split, for the words.
    """
    trained_ids = {example.id: where for example, where in train}
    trained_files = {content(ref, seen): (ref.path, where) for e, where in train for ref in e.visuals}
    trained: dict[Question, tuple[Example, str]] = {question(e, seen): (e, where) for e, where in train}
    questions: list[str] = []
    ids: list[str] = []
    files: dict[Hashable, str] = {}
    shown = 0
    for example, where in evaluation:
        if example.id in trained_ids:
            ids.append(f"{where} and {trained_ids[example.id]}: id {example.id!r}")
        asked = trained.get(question(example, seen))
        if asked is not None:
            answer = "same" if asked[0].target == example.target else "another"
            questions.append(
                f"{_named(example, where)} and {_named(*asked)}: {_short(example.prompt)}, {answer} answer"
            )
        known = [
            (ref, trained_files[key])
            for ref in example.visuals
            if (key := content(ref, seen)) in trained_files
        ]
        shown += bool(known)
        for ref, (path, place) in known:
            copy = f"{ref.path} is {path}" if ref.path != path else ref.path
            files.setdefault(content(ref, seen), f"{where} and {place}: {copy}")
    total = len(evaluation)
    findings = []
    if questions:
        text = (
            f"{len(questions):,} of {total:,} samples of {name} ({percent(len(questions), total)}) are asked "
            "in training too, of the same picture"
        )
        findings.append(Finding(ERROR, "leak", text, questions))
    if files:
        text = (
            f"seen in training: {len(files):,} of the pictures and clips of {name}, in {shown:,} of its "
            f"{total:,} samples ({percent(shown, total)})"
        )
        findings.append(Finding(WARNING, "leak", text, list(files.values())))
    if ids:
        text = (
            f"{len(ids):,} of {total:,} ids of {name} are ids of training too; splits may be numbered alike"
        )
        findings.append(Finding(WARNING, "leak", text, ids))
    if not findings:
        findings.append(Finding(OK, "leak", f"{name} shares no id, no picture and no question with training"))
    return findings


def _named(example: Example, where: str) -> str:
    """Where a sample comes from, with its id: a row of a file may make several."""
    return f"{where} ({example.id})"


def _short(prompt: str, most: int = 120) -> str:
    return repr(prompt if len(prompt) <= most else f"{prompt[: most - 1]}…")
