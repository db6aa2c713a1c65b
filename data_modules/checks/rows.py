"""The rows of a split as examples, with everything that is unfit collected instead of raised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_modules.checks.finding import ERROR, OK, WARNING, Finding
from data_modules.data_module import VisionLanguageDataModule
from data_modules.formats.annotation import collecting
from data_modules.reading import BadSamples, FileFormat, drawn_subset, read_examples, with_targets
from vl_dora.batch import Example

Rows = list[tuple[Example, str]]
ALL = 2**62  # no limit on how many bad samples are collected


@dataclass
class ForgivingReader:
    """A reader of a file format that ends at what its file format does not allow, and says so.

    Args:
        files: the reader.

    Attributes:
        problems: what it found, one sentence each.
    """

    files: FileFormat
    problems: list[str] = field(default_factory=list)

    def splits(self, root: Path) -> tuple[str, ...]:
        """As the reader has it."""
        return self.files.splits(root)

    def rows(self, root: Path, split: str) -> Iterator[tuple[Mapping[str, Any], str]]:
        """The rows up to the first that cannot be read; ids that come twice do not end it."""
        with collecting() as doubled:
            try:
                yield from self.files.rows(root, split)
            except (ValueError, FileNotFoundError) as error:
                self.problems.append(f"{error} (what lies behind it was not read)")
        self.problems += [message for message in doubled if message not in self.problems]


def read(data: VisionLanguageDataModule, split: str, role: str) -> tuple[Rows, list[Finding]]:
    """The examples of a split and what its rows are like.

    Args:
        data: its reader, task and limits count.
        split: name of the split in the folder.
        role: train, val or test.
    """
    reader = ForgivingReader(data.files)
    bad = BadSamples(split, "skip", ALL)
    rows = read_examples(reader, data.folder, split, data.task, bad)
    # A reader that notices a doubled id yields the row all the same, and `read_examples` notices again.
    doubled = {message.partition(": ")[0] for message in reader.problems}
    problems = [*reader.problems, *(m for m in bad.messages if m.partition(": ")[0] not in doubled)]
    total = len(rows) + len(bad.messages)
    findings = []
    if problems:
        findings.append(unfit(data, "rows", f"{len(problems):,} of {total:,} rows are unfit", problems))
    elif rows:
        findings.append(
            Finding(OK, "rows", f"each of the {len(rows):,} rows is an example, no id comes twice")
        )
    else:
        findings.append(Finding(ERROR, "rows", f"split {split} of {data.folder} has no rows"))
    limit = data.limit[role]
    if limit is not None and limit < len(rows):
        text = (
            f"data.limit.{role}={limit} draws {limit:,} of {len(rows):,} samples; the others are not checked"
        )
        rows = drawn_subset(rows, limit, data.seed)
        findings.append(Finding(WARNING, "limit", text))
    return (rows, findings) if role != "train" else _to_learn(data, rows, findings)


def _to_learn(
    data: VisionLanguageDataModule, rows: Rows, findings: list[Finding]
) -> tuple[Rows, list[Finding]]:
    """Takes out the training samples that have no target, or impossible scores."""
    bad = BadSamples("train", "skip", ALL)
    kept = with_targets(rows, bad)
    if bad.messages:
        text = f"{len(bad.messages):,} of {len(rows):,} samples cannot be learned"
        findings.append(unfit(data, "targets", text, bad.messages))
    return kept, findings


def answers(rows: Rows, role: str) -> list[Finding]:
    """Whether the samples of an evaluation split can be scored."""
    without = [f"{where}: sample {e.id!r}" for e, where in rows if not e.answers]
    blank = [
        f"{where}: sample {e.id!r} has the answers {list(e.answers)}"
        for e, where in rows
        if e.answers and not all(answer.strip() for answer in e.answers)
    ]
    findings = []
    if without and len(without) == len(rows):
        text = "no sample has an answer: predictions can be written, not scored"
        findings.append(Finding(WARNING, "answers", text))
    elif without and role != "train":
        text = f"{len(without):,} of {len(rows):,} samples have no answer, which no score allows"
        findings.append(Finding(ERROR, "answers", text, without))
    if blank:
        text = f"{len(blank):,} of {len(rows):,} samples have an empty answer"
        findings.append(Finding(WARNING, "answers", text, blank))
    return findings


def unfit(data: VisionLanguageDataModule, check: str, text: str, problems: list[str]) -> Finding:
    """An error, or a warning where data.on_error=skip leaves such samples out."""
    if data.on_error != "skip":
        return Finding(ERROR, check, text, problems)
    if len(problems) > data.max_skipped:
        return Finding(ERROR, check, f"{text}, more than data.max_skipped={data.max_skipped}", problems)
    return Finding(WARNING, check, f"{text}; data.on_error=skip leaves them out", problems)
