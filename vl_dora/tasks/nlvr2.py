"""NLVR2: is a sentence true of two photographs? (Suhr et al. 2019, arXiv:1811.00491)

A row: {"identifier": "dev-850-0-0", "sentence": "The left image contains ...", "label": "True",
"subset": "balanced", "images": (ImageRef("dev/dev-850-0-img0.png"), ImageRef("dev/dev-850-0-img1.png"))}
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import nlvr2 as metric
from vl_dora.metrics.statistic import Scaled
from vl_dora.tasks import server_files
from vl_dora.tasks.checks import has_field, scorable
from vl_dora.tasks.interface import ScoreReport

log = logging.getLogger(__name__)

LABELS = ("False", "True")
NEITHER = "neither"


@dataclass(frozen=True)
class NLVR2:
    """The answer is one of two words; any other text is wrong, whatever the label.

    Args:
        prompt: `{sentence}` is filled from the row; the text is the one of VL-T5.
        words: what is said for False and for True. VL-BART's are false and true; a base that knows other
            words better may say those, the scores stay the same.
        name: short name in files and logs.
    """

    prompt: str = "nlvr: {sentence}"
    words: Sequence[str] = ("false", "true")
    name: str = "nlvr2"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        has_field(self.prompt, "sentence")
        words = [_plain(word) for word in self.words]
        if len(words) != 2 or words[0] == words[1] or "" in words:
            raise ValueError(
                f"task.words={list(self.words)} must be two different words: for False, for True"
            )

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one sentence and pair; without a label in the row its target is empty."""
        if "label" in row and row["label"] not in LABELS:
            raise ValueError(f"the label must be True or False, got {row['label']!r}")
        word = self.words[LABELS.index(row["label"])] if "label" in row else ""
        split, number, pair, sentence = row["identifier"].split("-")
        groups = {"statement": f"{split}-{number}-{sentence}", "pair": f"{split}-{number}-{pair}"}
        return Example(
            id=row["identifier"],
            prompt=self.prompt.replace("{sentence}", row["sentence"]),
            target=word,
            images=tuple(row["images"]),
            answers=(word,) if word else (),
            groups={**groups, **({"subset": row["subset"]} if "subset" in row else {})},
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """Official scores in percent: `accuracy` over rows, `consistency` over sentences.

        The same of the balanced and the unbalanced subset where the rows tell it. Broken down by label; the
        rows of one sentence are one cluster. A text that is neither word is wrong, and counted in the log.
        """
        scorable(predictions)
        said = {p.id: self._label(p.text) for p in predictions}
        self._warn_of_neither(said)
        labels = {p.id: self._label(p.answers[0]) for p in predictions}
        subsets: dict[str, set[str]] = {}
        for prediction in predictions:
            if "subset" in prediction.example.groups:
                subsets.setdefault(prediction.example.groups["subset"], set()).add(prediction.id)
        members = {name: frozenset(subsets[name]) for name in sorted(subsets)}
        scored = metric.score(said, labels, members)
        by_label = {
            self.words[LABELS.index(label.capitalize())]: 100 * value
            for label, value in scored.by_type["label"].items()
        }
        return ScoreReport(
            scores={name: 100 * value for name, value in scored.scores.items()},
            by_type={"label": by_label},
            per_sample={name: 100.0 * (said[name] == label) for name, label in labels.items()},
            clusters={p.id: p.example.groups["statement"] for p in predictions},
            statistic=Scaled(scored.statistic, 100.0),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """The leaderboard's file `nlvr2_predictions.csv`, a line `identifier,True` or `identifier,False`.

        The leaderboard takes no third word: what is neither is written as False.
        """
        said = {p.id: self._label(p.text) == "True" for p in predictions}
        return [server_files.write_nlvr2(Path(directory) / "nlvr2_predictions.csv", said)]

    def _label(self, text: str) -> str:
        """False or True, by the task's words; neither for any other text."""
        words = [_plain(word) for word in self.words]
        return LABELS[words.index(_plain(text))] if _plain(text) in words else NEITHER

    def _warn_of_neither(self, said: Mapping[str, str]) -> None:
        neither = [name for name, label in said.items() if label == NEITHER]
        if neither:
            log.warning(
                "%d of %d texts are neither %s and count as wrong, the first is of sample %s",
                len(neither),
                len(said),
                " nor ".join(self.words),
                neither[0],
            )


def _plain(text: str) -> str:
    return text.strip().lower()
