"""Cornell NLVR: is a human sentence true of three boxes of shapes? (Suhr et al. 2017, ACL)

A row: {"sentence": "There is a tower with four blocks.", "label": "true", "identifier": "3125-1",
"presentation": "3125", "permutation": 0, "picture": "dev-3125-1-0.png", "images": (box, box, box)}
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import nlvr_cornell
from vl_dora.tasks.checks import has_field, scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.submission import write_whole

log = logging.getLogger(__name__)

WORDS = ("true", "false")
NEITHER = "neither"

_PUNCTUATION = re.compile(r"([^\w\s'])")


@dataclass(frozen=True)
class NLVRCornell:
    """The answer is the word true or false; any other text is wrong, whatever the label.

    Identifier and picture name stay in `id` and `groups`, which no network reads: the place of a
    statement in its presentation predicts the label.

    Args:
        prompt: `{sentence}` is filled from the row.
        lowercase: lower-case the sentence.
        space_punctuation: put spaces around punctuation marks ("blocks." becomes "blocks ."), and one space
            where the sentence has several.
        name: short name in files and logs.
    """

    prompt: str = "nlvr: {sentence}"
    lowercase: bool = True
    space_punctuation: bool = True
    name: str = "nlvr_cornell"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        has_field(self.prompt, "sentence")

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one picture: a statement in one order of the boxes."""
        label = row["label"].lower()
        if label not in WORDS:
            raise ValueError(f"the label must be true or false, got {row['label']!r}")
        return Example(
            id=f"{row['identifier']}-{row['permutation']}",
            prompt=self.prompt.replace("{sentence}", self.written(row["sentence"])),
            target=label,
            images=tuple(row["images"]),
            answers=(label,),
            groups={
                "presentation": row["presentation"],
                "statement": row["identifier"],
                "picture": row["picture"],
                "label_source": row["label_source"],
            },
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """Official scores in percent: `accuracy` over pictures, `consistency` over presentations.

        Broken down by label; the pictures of one presentation are one cluster.
        """
        scorable(predictions)
        self._warn_of_neither(predictions)
        right = {p.id: nlvr_cornell.is_right(p.text, p.answers[0]) for p in predictions}
        presentations = {p.id: p.example.groups["presentation"] for p in predictions}
        scores = nlvr_cornell.summarise((presentations[name], hit) for name, hit in right.items())
        statistic = nlvr_cornell.statistic(list(presentations.values()), list(right.values()))
        by_label: dict[str, list[bool]] = {}
        for prediction in predictions:
            by_label.setdefault(prediction.answers[0], []).append(right[prediction.id])
        return ScoreReport(
            scores={"accuracy": 100 * scores.precision, "consistency": 100 * scores.consistency},
            by_type={
                "label": {label: 100 * sum(hits) / len(hits) for label, hits in sorted(by_label.items())}
            },
            per_sample={name: 100.0 * hit for name, hit in right.items()},
            clusters=presentations,
            statistic=lambda weights: _as_scored(statistic(weights)),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """`nlvr_cornell_predictions.csv`, what the official metrics_images.py reads.

        A line is `split-n-m-k.png,true` or `...,false`: the script drops the text before the first dash,
        so the picture's whole name is needed. A text that is neither word is written as `neither`, which
        the script counts as wrong, as `score` does.
        """
        self._warn_of_neither(predictions)
        lines = [f"{p.example.groups['picture']},{_word(p.text)}\n" for p in predictions]
        return [write_whole(Path(directory) / "nlvr_cornell_predictions.csv", "".join(lines))]

    def written(self, sentence: str) -> str:
        """The sentence as the network reads it."""
        if self.space_punctuation:
            sentence = " ".join(_PUNCTUATION.sub(r" \1 ", sentence).split())
        return sentence.lower() if self.lowercase else sentence

    def _warn_of_neither(self, predictions: Sequence[Prediction]) -> None:
        strays = [p for p in predictions if _word(p.text) == NEITHER]
        if strays:
            log.warning(
                "%s: %d of %d predictions are neither true nor false and count as wrong, such as %r (%s)",
                self.name,
                len(strays),
                len(predictions),
                strays[0].text,
                strays[0].id,
            )


def _word(text: str) -> str:
    word = text.strip().lower()
    return word if word in WORDS else NEITHER


def _as_scored(found: Mapping[str, Any]) -> dict[str, Any]:
    """The official names and units turned into those of the task."""
    return {"accuracy": 100 * found["precision"], "consistency": 100 * found["consistency"]}
