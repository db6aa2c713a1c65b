"""GQA as LLaVA is scored on it: in lower case without a final stop (Liu et al. 2023, arXiv:2310.03744).

A row: what `vl_dora.tasks.gqa` reads, with "asked_id": "201307251" and "text": "Is the sky dark?\\nAnswer the
question using a single word or phrase."
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.tasks import server_files
from vl_dora.tasks.gqa import GQA
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, write_llava_answers

_GQA = GQA()


@dataclass(frozen=True)
class LlavaGQA:
    """The prompt is the row's text; the official scores are of the answer as LLaVA submits it.

    Args:
        model_id: name of the model in LLaVA's file of answers; of a path its last part.
        name: short name in files and logs.
    """

    model_id: str = "vl_dora"
    name: str = "llava_gqa"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question."""
        example = _GQA.example(row)
        return replace(example, prompt=row["text"], groups={**example.groups, **asked_id(row)})

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """The official scores in percent, see `vl_dora.tasks.gqa`."""
        return _GQA.score([replace(p, text=submitted(p.text)) for p in predictions])

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's `answers.jsonl`, and `testdev_balanced_predictions.json` for GQA's script and EvalAI."""
        answers = {p.id: submitted(p.text) for p in predictions}
        path = Path(directory) / "testdev_balanced_predictions.json"
        return [
            write_llava_answers(directory, predictions, self.model_id),
            server_files.write_gqa(path, answers),
        ]


def submitted(text: str) -> str:
    """A text as LLaVA hands it in: no full stops at the end, lower case."""
    return text.rstrip(".").lower()
