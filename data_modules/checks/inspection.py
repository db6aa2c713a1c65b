"""`inspect`: every split of every task of a data module, what lies between them, and samples to look at."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import lightning

from data_modules.checks import balance, repeats, vocabulary
from data_modules.checks.conversations import Conversations
from data_modules.checks.files import MODES, Ref, Seen, look
from data_modules.checks.finding import ERROR, WARNING, Figures, Finding, Progress
from data_modules.checks.pictures import pictures
from data_modules.checks.rows import Rows, answers, read
from data_modules.checks.samples import SampleShown, choose, show
from data_modules.checks.texts import Limits, Texts
from data_modules.conversation_collate import ConversationCollate
from data_modules.data_module import ROLES, VisionLanguageDataModule

log = logging.getLogger(__name__)


@dataclass
class Split:
    """One split of one task.

    Attributes:
        rows: all its examples.
        fit: those that a run could use.
    """

    name: str
    role: str
    rows: Rows
    findings: list[Finding]
    fit: Rows = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Args:
        report: {"errors": int, "warnings": int, "tasks": [{"task", "folder", "splits": [{"split", "role",
            "samples", "fit", "findings", "lengths", "shares"}], "between": [{"split", "findings"}]}]}, ready
            for JSON; findings are {"level", "check", "text", "examples"}.
        samples: to look at, task after task and split after split.
    """

    report: dict[str, Any]
    samples: tuple[SampleShown, ...]


def inspect(
    data: lightning.LightningDataModule,
    *,
    limits: Mapping[str, Any] | None = None,
    check_files: str = "all",
    samples: int = 24,
    seed: int = 0,
    progress: Progress = lambda items, total, text: items,
) -> Inspection:
    """Checks a whole data set; every problem is collected, none is raised.

    Args:
        data: a `VisionLanguageDataModule`, or a mixture with `parts`.
        limits: of the network and of generation, fields of `texts.Limits`; `max_new_tokens` may be a mapping
            from task to tokens with "" for the others.
        check_files: "all", "sample" or "none", see `files.look`.
        samples: how many are shown, over all splits; every split shows one at least.
        seed: of their choice.
        progress: shows how far it is.

    Raises:
        ValueError: an option outside what is allowed, or a data folder that is not there.
    """
    if check_files not in MODES:
        raise ValueError(f"preview.check_files={check_files} must be one of {', '.join(MODES)}")
    for key, number in (("samples", samples), ("seed", seed)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"preview.{key}={number} must be a whole number of at least 0")
    given = dict(limits or {})
    tokens = given.pop("max_new_tokens", None)
    parts = getattr(data, "parts", None) or {data.task.name: data}  # type: ignore[attr-defined]
    tasks, shown = [], []
    found = []
    for name, part in parts.items():
        most = tokens.get(name, tokens.get("")) if isinstance(tokens, Mapping) else tokens
        own = Limits(**given, max_new_tokens=most)
        found.append((name, part, *_task(part, name, own, check_files, seed, progress)))
    num_splits = max(1, sum(len([s for s in splits if s.fit]) for _, _, splits, _ in found))
    for name, part, splits, between in found:
        tasks.append(_report(name, part, splits, between))
        for split in splits:
            drawn = choose(split.fit, -(-samples // num_splits), seed)
            lost = []
            for one in show(part, drawn, task=name, split=split.name, role=split.role, seed=part.seed):
                lost.append(one) if isinstance(one, str) else shown.append(one)
            if lost:
                text = f"{len(lost)} of the {len(drawn)} samples drawn cannot be made into a batch"
                tasks[-1]["splits"][splits.index(split)]["findings"].append(
                    asdict(Finding(ERROR, "samples", text, lost))
                )
    report = {"errors": 0, "warnings": 0, "tasks": tasks}
    return Inspection(count_levels(report), tuple(shown))


def count_levels(report: dict[str, Any]) -> dict[str, Any]:
    """The report with its numbers of errors and warnings."""
    levels = [
        finding["level"]
        for task in report["tasks"]
        for place in (*task["splits"], *task["between"])
        for finding in place["findings"]
    ]
    return {**report, "errors": levels.count(ERROR), "warnings": levels.count(WARNING)}


def _task(
    data: VisionLanguageDataModule, name: str, limits: Limits, mode: str, seed: int, progress: Progress
) -> tuple[list[Split], list[tuple[str, list[Finding]]]]:
    """The splits of one task, checked, and what each evaluation split has in common with training."""
    splits = _splits(data)
    seen = look(data, [split.rows for split in splits], mode, seed, progress)
    for split in splits:
        _check(data, split, seen, limits, mode, progress)
    train = next((split for split in splits if split.role == "train"), None)
    between = []
    for split in splits:
        if train is None or split is train or not split.rows or not train.rows:
            continue
        findings = repeats.between(train.rows, split.rows, seen, split.name)
        between.append((split.name, findings + balance.unseen(train.rows, split.rows, split.name)))
    return splits, between


def _splits(data: VisionLanguageDataModule) -> list[Split]:
    """The splits that a run would use, read; one that two roles share is checked once."""
    there = data.files.splits(data.folder)
    splits: list[Split] = []
    for role in ROLES:
        name = data.evaluation_split if role == "test" else data.splits[role]
        if name is None or any(split.name == name and split.role != "train" for split in splits):
            continue
        if name not in there:
            key = "split" if role == "test" and name != data.splits["test"] else f"splits.{role}"
            text = (
                f"data.{key}={name} is not in {data.folder}; splits found there: "
                f"{', '.join(there) or 'none'}; name one of them, or null"
            )
            splits.append(Split(name, role, [], [Finding(ERROR, "rows", text)]))
            continue
        log.info("reading split %s of %s", name, data.folder)
        splits.append(Split(name, role, *read(data, name, role)))
    return splits


def _check(
    data: VisionLanguageDataModule,
    split: Split,
    seen: Mapping[Ref, Seen],
    limits: Limits,
    mode: str,
    progress: Progress,
) -> None:
    figures = split.figures
    visible, of_pictures = pictures(data, split.rows, seen, limits.max_images, figures, mode)
    texts: Texts | Conversations
    if isinstance(data.collate, ConversationCollate):
        texts = Conversations(data, data.collate, split.rows, split.role, progress)
    else:
        texts = Texts(data, data.collate, split.rows, split.role, progress)
    fitting, of_texts = texts.check(limits, figures)
    # Several samples may come of one row of a file.
    ids = {example.id for example, _ in visible}
    split.fit = [row for row in fitting if row[0].id in ids]
    split.findings += [
        *of_pictures,
        *answers(split.rows, split.role),
        *of_texts,
        *vocabulary.unknown_words(texts),
        *(vocabulary.ceiling(split.rows, data.task, texts, data.seed) if split.role != "train" else ()),
        *repeats.within(split.rows, seen),
        *balance.balance(split.rows, figures),
    ]
    if split.rows and not split.fit:
        split.findings.append(Finding(ERROR, "rows", "not one sample is fit for use"))


def _report(
    name: str,
    data: VisionLanguageDataModule,
    splits: list[Split],
    between: list[tuple[str, list[Finding]]],
) -> dict[str, Any]:
    beside = f"{data.folder}/"

    def told(findings: list[Finding]) -> list[dict[str, Any]]:
        """Findings for JSON; files are named from the data folder on, which stands above them."""
        return [
            {
                **asdict(finding),
                "text": finding.text.replace(beside, ""),
                "examples": [line.replace(beside, "") for line in finding.examples],
            }
            for finding in findings
        ]

    return {
        "task": name,
        "folder": str(data.folder),
        "splits": [
            {
                "split": split.name,
                "role": split.role,
                "samples": len(split.rows),
                "fit": len(split.fit),
                "findings": told(split.findings),
                "lengths": split.figures.lengths,
                "shares": split.figures.shares,
            }
            for split in splits
        ],
        "between": [{"split": split, "findings": told(findings)} for split, findings in between],
    }
