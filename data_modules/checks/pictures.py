"""What the pictures and clips of a split are like, and which samples cannot be used for them."""

from __future__ import annotations

from collections.abc import Mapping

from data_modules.checks.files import Ref, Seen
from data_modules.checks.finding import ERROR, OK, WARNING, Figures, Finding, few, histogram
from data_modules.checks.rows import Rows, unfit
from data_modules.conversation_collate import ConversationCollate
from data_modules.data_module import VisionLanguageDataModule
from data_modules.visuals import Blank
from vl_dora.batch import ClipRef


def pictures(
    data: VisionLanguageDataModule,
    rows: Rows,
    seen: Mapping[Ref, Seen],
    max_images: int | None,
    figures: Figures,
    mode: str,
) -> tuple[Rows, list[Finding]]:
    """The samples whose pictures and clips can be used, and what was found.

    Args:
        data: tells what a bad sample means (data.on_error), and whether pictures are looked at.
        rows: the samples.
        seen: every picture and clip of theirs, from `files.look`.
        max_images: pictures and frames that the network takes of a sample; None: any number.
        figures: gets the histograms.
        mode: how thoroughly they were opened, for the words.
    """
    users: dict[Ref, list[str]] = {}
    for example, where in rows:
        for ref in example.visuals:
            users.setdefault(ref, []).append(where)
    bad = {ref: problem for ref in users if (problem := seen[ref].problem)}
    kept = [(e, where) for e, where in rows if not any(ref in bad for ref in e.visuals)]
    findings = []
    if bad:
        named = [f"{_places(users[ref])}: {problem}" for ref, problem in bad.items()]
        text = (
            f"{len(bad):,} of {len(users):,} pictures and clips cannot be used; "
            f"{len(rows) - len(kept):,} samples need them"
        )
        findings.append(unfit(data, "files", text, named))
    elif users:
        findings.append(_opened(data, users, seen, mode))
    findings += _flat(users, seen)
    _measure(users, seen, figures)
    kept, crowded = _crowded(kept, seen, max_images)
    return kept, [*findings, *crowded, *_without(data, rows)]


def _opened(
    data: VisionLanguageDataModule, users: Mapping[Ref, list[str]], seen: Mapping[Ref, Seen], mode: str
) -> Finding:
    clips = sum(isinstance(ref, ClipRef) for ref in users)
    counts = [f"{n:,} {name}" for n, name in ((len(users) - clips, "pictures"), (clips, "clips")) if n]
    what = " and ".join(counts)
    if isinstance(data.visuals, Blank):
        return Finding(OK, "files", f"{what}, none of them opened: data.blind=true shows a constant instead")
    if mode == "none":
        return Finding(WARNING, "files", f"{what}, none of them opened (preview.check_files=none)")
    opened = sum(seen[ref].digest is not None for ref in users)
    kind = "have their features" if data.features is not None else "open"
    if opened < len(users):
        return Finding(OK, "files", f"{what} are there; of {opened:,} taken at random all {kind}")
    return Finding(OK, "files", f"all {kind}: {what}")


def _flat(users: Mapping[Ref, list[str]], seen: Mapping[Ref, Seen]) -> list[Finding]:
    flat = [f"{_places(where)}: {ref.path}" for ref, where in users.items() if seen[ref].flat]
    if not flat:
        return []
    return [
        Finding(
            WARNING, "flat", f"of a single colour: {len(flat):,} of {len(users):,} pictures and clips", flat
        )
    ]


def _measure(users: Mapping[Ref, list[str]], seen: Mapping[Ref, Seen], figures: Figures) -> None:
    found = [seen[ref] for ref in users if not seen[ref].problem]
    clips = [seen[ref] for ref in users if isinstance(ref, ClipRef) and not seen[ref].problem]
    measures: dict[str, list[float | int | None]] = {
        "width in pixels": [s.width for s in found],
        "height in pixels": [s.height for s in found],
        "stored tokens of a picture": [s.tokens for s in found],
        "seconds of a clip": [s.seconds for s in clips],
        "frames a second of a clip": [s.rate for s in clips],
        "frames shown of a clip": [s.frames for s in clips if s.digest is not None],
    }
    for name, values in measures.items():
        known = [value for value in values if value is not None]
        if known:
            figures.lengths[name] = histogram(known)


def _crowded(rows: Rows, seen: Mapping[Ref, Seen], most: int | None) -> tuple[Rows, list[Finding]]:
    """Takes out the samples with more pictures than the network takes."""
    if most is None:
        return rows, []
    counts = [sum(seen[ref].frames for ref in e.visuals) for e, _ in rows]
    crowded = [
        f"{where}: sample {e.id!r} has {count}"
        for (e, where), count in zip(rows, counts, strict=True)
        if count > most
    ]
    if not crowded:
        return rows, []
    text = (
        f"{len(crowded):,} of {len(rows):,} samples have more pictures or frames than the network takes, "
        f"model.network.max_images={most}"
    )
    kept = [row for row, count in zip(rows, counts, strict=True) if count <= most]
    return kept, [Finding(ERROR, "files", text, crowded)]


def _without(data: VisionLanguageDataModule, rows: Rows) -> list[Finding]:
    blind = [f"{where}: sample {e.id!r}" for e, where in rows if not e.visuals]
    if not blind:
        return []
    if len(blind) == len(rows):
        return [Finding(WARNING, "text only", "no sample has a picture or a clip")]
    if isinstance(data.collate, ConversationCollate):
        # Conversations about words alone belong to what such networks learn.
        return [Finding(OK, "text only", f"{len(blind):,} of {len(rows):,} samples are of words alone")]
    text = f"{len(blind):,} of {len(rows):,} samples have neither picture nor clip: {few(blind, 1)}"
    return [Finding(WARNING, "text only", text, blind)]


def _places(where: list[str]) -> str:
    more = f" (and {len(where) - 1} more samples)" if len(where) > 1 else ""
    return f"{where[0]}{more}"
