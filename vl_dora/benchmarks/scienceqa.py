"""ScienceQA: LLaVA's answers against the official problems.

Predictions: JSON lines {"question_id": "4", "prompt": "<image>\\n...", "text": "The answer is B."}
References: problems.json, {"4": {"choices": ["ocean water", ...], "answer": 1, "hint": "", "image":
"image.png", "grade": "grade2", "subject": "natural science", "topic": "earth-science", ...}}
Splits: pid_splits.json, {"test": ["4", ...], "val": [...], ...}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.benchmarks.fields import as_object, take
from vl_dora.benchmarks.files import by_id, id_of, matched, rows_of, values_of
from vl_dora.metrics import scienceqa
from vl_dora.metrics.statistic import Scored

_MARK = "<image>"


@dataclass(frozen=True)
class ScienceQA:
    """Accuracy and image accuracy in percent, and the benchmark's table.

    Args:
        splits: file of the problems of each split; None: all problems are scored.
        split: which of them.
        missing: "error", or "wrong": a problem without a prediction counts as wrong, as in LLaVA's script.

    Raises:
        ValueError: `missing` is another word.
    """

    splits: str | None = None
    split: str = "test"
    missing: str = "error"

    def __post_init__(self) -> None:
        if self.missing not in ("error", "wrong"):
            raise ValueError(f"missing={self.missing} must be error or wrong")

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores answers against the problems; ValueError names what is wrong in the files."""
        rows = values_of(references, "references")
        names = self._names(rows)
        said = by_id(
            rows_of(predictions, "predictions"),
            lambda row, where: id_of(row, ("question_id",), where),
            f"predictions={predictions}",
        )
        wanted = names if self.missing == "error" else [name for name in names if name in said]
        matched(said, wanted, files=(predictions, references))
        problems = [_problem(rows[name], f"{references}, problem {name}") for name in names]
        texts = [take(said[n], "text", str, f"{predictions}, {n}") if n in said else None for n in names]
        shown = [n in said and _MARK in take(said[n], "prompt", str, f"{predictions}, {n}") for n in names]
        return scienceqa.score(texts, problems, shown)

    def _names(self, rows: dict[str, Any]) -> list[str]:
        if self.splits is None:
            return list(rows)
        splits = values_of(self.splits, "splits")
        if self.split not in splits:
            raise ValueError(f"split={self.split} is not in splits={self.splits}; there: {', '.join(splits)}")
        names = [str(name) for name in splits[self.split]]
        unknown = [name for name in names if name not in rows]
        if unknown:
            raise ValueError(f"splits={self.splits}: {len(unknown)} problems are not among the references")
        return names


def _problem(value: Any, where: str) -> scienceqa.Problem:
    row = as_object(value, where)
    return scienceqa.Problem(
        num_choices=len(take(row, "choices", list, where)),
        answer=take(row, "answer", int, where),
        subject=str(row.get("subject", "")),
        grade=str(row.get("grade", "")),
        topic=str(row.get("topic", "")),
        has_hint=bool(row.get("hint")),
        has_image=bool(row.get("image")),
    )
