"""NLVR2: a csv of predictions against the official json lines.

Predictions: dev-0-1-0,True (identifier, True or False; no header)
References: dev.json, one {"identifier": "dev-0-1-0", "sentence": "...", "label": "True", ...} a line. The
files data/balanced/balanced_dev.json and data/unbalanced/unbalanced_dev.json of the repository name the
subsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vl_dora.benchmarks.csv_rows import pairs_of
from vl_dora.benchmarks.fields import take
from vl_dora.benchmarks.files import by_id, matched, rows_of
from vl_dora.metrics import nlvr2
from vl_dora.metrics.statistic import Scored


@dataclass(frozen=True)
class NLVR2:
    """Accuracy and consistency, 0 to 1.

    Args:
        balanced: file of the examples whose pictures occur with both labels; None: no such scores.
        unbalanced: file of the others; None: no such scores.
    """

    balanced: str | None = None
    unbalanced: str | None = None

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores predictions against the examples; ValueError names what is wrong in the files."""
        labels = _labels(references, "references")
        texts = matched(pairs_of(predictions), labels, files=(predictions, references))
        subsets = {}
        for name, path in (("balanced", self.balanced), ("unbalanced", self.unbalanced)):
            if path is not None:
                members = frozenset(_labels(path, name))
                foreign = sorted(members - labels.keys())
                if foreign:
                    raise ValueError(
                        f"{name}={path}: {len(foreign)} identifiers are not among the references, such as "
                        f"{', '.join(foreign[:3])}"
                    )
                subsets[name] = members
        return nlvr2.score(dict(zip(labels, texts, strict=True)), labels, subsets)


def _labels(path: Path | str, option: str) -> dict[str, str]:
    rows = by_id(
        rows_of(path, option), lambda row, where: take(row, "identifier", str, where), f"{option}={path}"
    )
    return {name: take(row, "label", str, f"{path}, {name}") for name, row in rows.items()}
