"""A page to look at a data set before training: checks, histograms, samples; one file, no network needed."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vl_dora.batch import Batch, Example
from vl_dora.reports.charts import bars, number
from vl_dora.reports.files import whole_file
from vl_dora.reports.preview_table import LEVELS
from vl_dora.reports.token_text import Row, rows_of

MARK = '<meta name="generator" content="vl_dora.preview">'
MARK_BYTES = 1000  # the mark lies among the first of a page
SHOWN_EXAMPLES = 100  # of a finding; output=json has all
LONGEST = 320  # pixels of a picture's longer side on the page
MOST_VALUES = 24  # of a group that can be filtered by


class Visual(Protocol):
    """A picture or frame: (height, width, 3) uint8 or None, and what it is."""

    @property
    def pixels(self) -> np.ndarray | None: ...

    @property
    def caption(self) -> str: ...


@dataclass(frozen=True)
class PreviewSample:
    """One sample of a data set.

    Args:
        task: of a mixture, or the only one.
        split: name of the split.
        where: "file, row N".
        batch: the sample alone, as a network gets it.
        visuals: its pictures and frames.
        num_visual: visual tokens that an encoder reads behind the text; 0 where they lie in `input_ids`.
    """

    task: str
    split: str
    where: str
    batch: Batch
    visuals: Sequence[Visual]
    num_visual: int = 0


@dataclass(frozen=True)
class Card:
    """One sample as the template shows it."""

    id: str
    where: str
    groups: Mapping[str, str]
    rows: Sequence[Row]
    pictures: Sequence[tuple[str, str]]
    lost: Sequence[str]
    answers: Sequence[tuple[str, str]]
    drawn: str


def require_replaceable(path: Path) -> None:
    """Checks that the page may be written there, before anything long is done.

    Raises:
        ValueError: `path` is a folder, or a file that is not a page of preview.
    """
    if path.is_dir():
        raise ValueError(f"preview.out={path} is a folder; name a file, for instance {path / 'preview.html'}")
    if path.exists():
        with path.open("rb") as file:
            begin = file.read(MARK_BYTES)
        if MARK.encode() not in begin:
            raise ValueError(
                f"preview.out={path} is there and no page of preview; name another file, or move it away"
            )


def write_preview_page(
    report: Mapping[str, Any], samples: Sequence[PreviewSample], tokenizer: Any, path: Path
) -> None:
    """Writes one HTML file with everything inside, whole or not at all.

    Args:
        report: as `data_modules.checks.inspect` makes it, with `experiment`, `model` and `data`.
        samples: to look at.
        tokenizer: of the base, to write token ids as text.
        path: the file; one that is not a page of preview is not overwritten.

    Raises:
        ValueError: as `require_replaceable`, or the folder cannot be written to.
    """
    require_replaceable(path)
    folders = {task["task"]: task["folder"] for task in report["tasks"]}
    cards = [_card(sample, folders.get(sample.task, ""), tokenizer) for sample in samples]

    # Templates are compiled only where a page is written.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("vl_dora.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"bars": bars, "number": number, "by_level": _by_level}
    keys = dict.fromkeys(key for card in cards for key in card.groups)
    html = pages.get_template("preview_page.html").render(
        mark=MARK,
        title=", ".join(task["task"] for task in report["tasks"]),
        report=report,
        fine=sum(f["level"] == "ok" for t in report["tasks"] for p in _places(t) for f in p["findings"]),
        cards=cards,
        filters={key: values for key in keys if _sorts(values := _values(cards, key), cards, key)},
        most=SHOWN_EXAMPLES,
    )
    try:
        with whole_file(path) as draft:
            draft.write_text(html, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"preview.out={path} cannot be written: {error.strerror}") from None


def _places(task: Mapping[str, Any]) -> list[Any]:
    return [*task["splits"], *task["between"]]


def _by_level(findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(findings, key=lambda finding: LEVELS.index(finding["level"]))


def _sorts(values: Sequence[str], cards: Sequence[Card], key: str) -> bool:
    """Whether a group tells kinds apart: several values, and not a name for every sample."""
    own = key in ("task", "split") or 2 * len(values) <= len(cards)
    return own and 1 < len(values) <= MOST_VALUES


def _values(cards: Sequence[Card], key: str) -> list[str]:
    """Values of a group, splits and tasks in the order of the samples, others by name."""
    found = list(dict.fromkeys(card.groups[key] for card in cards if key in card.groups))
    return found if key in ("task", "split") else sorted(found)


def _card(sample: PreviewSample, folder: str, tokenizer: Any) -> Card:
    (example,) = sample.batch.examples
    groups = {key: value for key, value in example.groups.items() if key != "task"}
    return Card(
        id=example.id,
        where=sample.where.removeprefix(f"{folder}/"),
        groups={"task": sample.task, "split": sample.split, **groups},
        rows=rows_of(sample.batch, sample.num_visual, tokenizer),
        pictures=[(embedded(v.pixels), v.caption) for v in sample.visuals if v.pixels is not None],
        lost=[v.caption for v in sample.visuals if v.pixels is None],
        answers=_answers(example),
        drawn=_drawn(example),
    )


def _answers(example: Example) -> list[tuple[str, str]]:
    """The human answers, the most given first, each with how often and with its score where it has one."""
    scores = dict(example.targets)
    counts = Counter(example.answers) or Counter(scores)
    lines = []
    for answer, count in counts.most_common():
        words = [f"×{count}"] if len(example.answers) > 1 else []
        words += [f"score {scores[answer]:.2g}"] if answer in scores else []
        lines.append((answer, ", ".join(words)))
    return lines


def _drawn(example: Example) -> str:
    """How the target is chosen in training, where there is a choice."""
    total = sum(score for _, score in example.targets)
    if len(example.targets) < 2 or not total:
        return ""
    return ", ".join(f"{text} {100 * score / total:.0f} %" for text, score in example.targets if score)


def embedded(pixels: np.ndarray) -> str:
    """A `data:` address of (height, width, 3) uint8 pixels, PNG or JPEG, whichever is shorter."""
    picture = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))
    picture.thumbnail((LONGEST, LONGEST))
    drafts = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 88})):
        stream = io.BytesIO()
        picture.save(stream, format=kind, **options)
        drafts.append((stream.getvalue(), kind))
    shortest, kind = min(drafts, key=lambda draft: len(draft[0]))
    return f"data:image/{kind};base64," + base64.b64encode(shortest).decode("ascii")
