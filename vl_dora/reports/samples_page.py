"""A page of sample predictions: pictures, question, answer, truth; one file, no network needed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vl_dora.batch import Example, ImageRef, Prediction
from vl_dora.reports import pictures
from vl_dora.reports.files import whole_file


@dataclass(frozen=True)
class Card:
    """One prediction as the page shows it; `percent` is its score, `verdict` right, partly or wrong."""

    id: str
    question: str
    answer: str
    truth: str
    percent: float
    verdict: str
    groups: Mapping[str, str]
    pictures: tuple[str, ...]
    lost: tuple[str, ...]


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
) -> None:
    """Writes one HTML file with the pictures inside, wrong answers first, filters by group.

    Args:
        predictions: what the network said.
        per_sample: id -> score of that prediction in percent, as `ScoreReport.per_sample`.
        root: the data folder that picture paths are relative to.
        path: the file to write.
        title: head of the page.
        limit: how many predictions are shown.
        read_picture: gives the (height, width, 3) uint8 pixels of a picture; reads below `root` when None.

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
    cards = [_card(prediction, per_sample[prediction.id], read) for prediction in chosen]

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


def _card(prediction: Prediction, percent: float, read: Callable[[ImageRef], np.ndarray]) -> Card:
    example = prediction.example
    shown, lost = [], []
    for image in example.images:
        # A report at the end of a run must not fall over a picture that has gone since.
        try:
            shown.append(pictures.embedded_png(read(image)))
        except (OSError, ValueError) as error:
            lost.append(f"{image.path}: {error}")
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
    )
