"""Cornell NLVR: a csv of predictions against the official json lines.

Predictions: a row a picture, dev-3125-1-0.png,true, or a row a statement, 3125-1,true (the structured task)
References: dev.json, one {"identifier": "3125-1", "label": "true", "sentence": "...", ...} a line
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vl_dora.benchmarks.csv_rows import pairs_of
from vl_dora.benchmarks.fields import take
from vl_dora.benchmarks.files import by_id, matched, rows_of
from vl_dora.metrics import nlvr_cornell
from vl_dora.metrics.nlvr_cornell import is_right
from vl_dora.metrics.statistic import Scored, at_once, groups

_PICTURE = re.compile(r"[^-.]+-(\d+-\d+-\d+)\.png")


@dataclass(frozen=True)
class NLVRCornell:
    """Precision and consistency, 0 to 1.

    Args:
        permutations: pictures that a statement has.
    """

    permutations: int = 6

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores predictions against the statements; ValueError names what is wrong in the files."""
        rows = by_id(
            rows_of(references, "references"),
            lambda row, where: take(row, "identifier", str, where),
            f"references={references}",
        )
        labels = {name: take(row, "label", str, f"{references}, {name}") for name, row in rows.items()}
        said = pairs_of(predictions)
        if any(name.endswith(".png") for name in said):
            # The script drops the word of the split and the ending.
            pictures = [(text, name) for name, text in said.items()]
            file = f"predictions={predictions}"
            said = by_id(pictures, lambda text, name: _picture(name, file), file)
            labels = {
                f"{name}-{place}": label
                for name, label in labels.items()
                for place in range(self.permutations)
            }
        texts = matched(said, labels, files=(predictions, references))
        right = [is_right(text, label) for text, label in zip(texts, labels.values(), strict=True)]
        presentations = [name.split("-")[0] for name in labels]
        statistic = nlvr_cornell.statistic(presentations, right)
        return Scored(
            scores=at_once(statistic, len(right)),
            scale="0 to 1",
            statistic=statistic,
            clusters=presentations,
            by_type={
                "label": dict(sorted(groups([word.lower() for word in labels.values()], right).items()))
            },
            notes=nlvr_cornell.notes(dict(zip(labels, texts, strict=True))),
        )


def _picture(name: str, file: str) -> str:
    found = _PICTURE.fullmatch(name)
    if found is None:
        raise ValueError(
            f"{file}: {name!r} is no name of a picture, split-n-m-k.png, such as dev-3125-1-0.png"
        )
    return found[1]
