"""A page of sample predictions: pictures or frames, question, answer, truth; one file, no network needed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vl_dora.batch import ClipRef, Example, ImageRef, Prediction
from vl_dora.reports import pictures
from vl_dora.reports.files import whole_file

MOST_FRAMES = 16
"""Of one clip on the page; of longer ones every so many."""

ReadClip = Callable[[ClipRef], tuple[np.ndarray, Sequence[float]]]


@dataclass(frozen=True)
class Card:
    """One prediction as the page shows it; `percent` is its score, `verdict` right, partly or wrong.

    `frames` are those of its clip, (address, time), and `note` says what is to be known of them.
    """

    id: str
    question: str
    answer: str
    truth: str
    percent: float
    verdict: str
    groups: Mapping[str, str]
    pictures: tuple[str, ...]
    lost: tuple[str, ...]
    frames: tuple[tuple[str, str], ...] = ()
    note: str = ""


def verdict_of(percent: float) -> str:
    """Right from 99.5 % of the score on, wrong at nothing, partly between."""
    return "right" if percent >= 99.5 else "partly" if percent > 0 else "wrong"


def truth_of(example: Example) -> str:
    """The human answers, the most given first and counted where they differ; the target without any."""
    counts = Counter(example.answers)
    if len(counts) > 1:
        return ", ".join(f"{answer} ×{count}" for answer, count in counts.most_common())
    return next(iter(counts), example.target)


def choose(
    predictions: Sequence[Prediction], per_sample: Mapping[str, float], *, group: str | None, limit: int
) -> list[Prediction]:
    """At most `limit` predictions, worst first, no more than two thirds of them not fully right
    while right ones are left; both kinds go round the values of `group`, so that each is seen.
    """
    ranked = sorted(predictions, key=lambda prediction: per_sample[prediction.id])
    right = [p for p in ranked if verdict_of(per_sample[p.id]) == "right"]
    faulty = [p for p in ranked if verdict_of(per_sample[p.id]) != "right"]
    num_faulty = min(len(faulty), max(limit - len(right), round(limit * 2 / 3)))
    num_right = min(len(right), limit - num_faulty)
    chosen = [*_round_robin(faulty, group)[:num_faulty], *_round_robin(right, group)[:num_right]]
    return sorted(chosen, key=lambda prediction: per_sample[prediction.id])


def _round_robin(predictions: Iterable[Prediction], group: str | None) -> list[Prediction]:
    """The same predictions, one of each group value in turn, the order inside a value kept."""
    values: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        values[prediction.example.groups.get(group or "", "")].append(prediction)
    turns = [(turn, place, p) for place, ps in enumerate(values.values()) for turn, p in enumerate(ps)]
    return [prediction for _, _, prediction in sorted(turns, key=lambda entry: entry[:2])]


def write_samples_page(
    predictions: Sequence[Prediction],
    per_sample: Mapping[str, float],
    root: Path,
    path: Path,
    *,
    title: str,
    limit: int = 60,
    read_picture: Callable[[ImageRef], np.ndarray] | None = None,
    read_clip: ReadClip | None = None,
) -> None:
    """Writes one HTML file with the pictures and frames inside, wrong answers first, filters by group.

    Args:
        predictions: what the network said.
        per_sample: id -> score of that prediction in percent, as `ScoreReport.per_sample`.
        root: the data folder that picture paths are relative to.
        path: the file to write.
        title: head of the page.
        limit: how many predictions are shown.
        read_picture: gives the (height, width, 3) uint8 pixels of a picture; reads below `root` when None.
        read_clip: gives the (n, height, width, 3) uint8 frames of a clip and their n seconds; None: the page
            says that no frame is shown.

    Raises:
        ValueError: a prediction has no entry in `per_sample`.
    """
    unscored = [prediction.id for prediction in predictions if prediction.id not in per_sample]
    if unscored:
        raise ValueError(
            f"{len(unscored)} predictions have no score in per_sample, the first is id {unscored[0]!r}"
        )
    read = read_picture or (lambda image: pictures.read_picture(image, root))
    keys = sorted({key for prediction in predictions for key in prediction.example.groups})
    group = "question_type" if "question_type" in keys else next(iter(keys), None)
    chosen = choose(predictions, per_sample, group=group, limit=limit)
    cards = [_card(prediction, per_sample[prediction.id], read, read_clip) for prediction in chosen]

    # Templates are compiled only where a page is written.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("vl_dora.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    html = pages.get_template("samples_page.html").render(
        title=title,
        cards=cards,
        num_all=len(predictions),
        verdicts=Counter(verdict_of(per_sample[prediction.id]) for prediction in predictions),
        filters={key: values for key in keys if 1 < len(values := _values(cards, key)) <= 24},
    )
    with whole_file(path) as draft:
        draft.write_text(html, encoding="utf-8")


def _values(cards: Sequence[Card], key: str) -> list[str]:
    return sorted({card.groups[key] for card in cards if key in card.groups})


def _card(
    prediction: Prediction,
    percent: float,
    read: Callable[[ImageRef], np.ndarray],
    read_clip: ReadClip | None,
) -> Card:
    example = prediction.example
    shown, lost = [], []
    for image in example.images:
        # A report at the end of a run must not fall over a picture that has gone since.
        try:
            shown.append(pictures.embedded_png(read(image)))
        except (OSError, ValueError) as error:
            lost.append(f"{image.path}: {error}")
    frames: tuple[tuple[str, str], ...] = ()
    note = ""
    if example.frames is not None:
        try:
            frames, note = strip(example.frames, read_clip)
        except (OSError, ValueError) as error:
            lost.append(f"{example.frames.path}: {error}")
    return Card(
        id=prediction.id,
        question=example.prompt,
        answer=prediction.text,
        truth=truth_of(example),
        percent=percent,
        verdict=verdict_of(percent),
        groups=example.groups,
        pictures=tuple(shown),
        lost=tuple(lost),
        frames=frames,
        note=note,
    )


def strip(clip: ClipRef, read_clip: ReadClip | None) -> tuple[tuple[tuple[str, str], ...], str]:
    """Frames of a clip as (address, time), at most `MOST_FRAMES` of them, and a note; empty without any.

    Raises:
        ValueError, OSError: the clip cannot be read any more.
    """
    if read_clip is None:
        return (), f"{clip.path}, of which no frame is shown here"
    frames, times = read_clip(clip)
    chosen = range(len(frames))
    notes = []
    if len(frames) > MOST_FRAMES:
        chosen = np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int).tolist()
        notes.append(f"{MOST_FRAMES} of {len(frames)} frames")
    if clip.indices is None:
        notes.append("frames of this page's choice: the network read stored features")
    shown = tuple((pictures.embedded_jpeg(frames[n]), f"{times[n]:.1f} s") for n in chosen)
    return shown, ", ".join(notes)
