"""Questions about pictures of one's own, without answers: predictions only.

A row: {"question_id": "1", "asked_id": "1", "text": "What is it doing?", "images": (ImageRef("cat.jpg"),)}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.tasks.checks import has_field, scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, write_llava_answers


@dataclass(frozen=True)
class Ask:
    """Nothing is scored.

    Args:
        prompt: `{text}` is filled from the row.
        model_id: name of the model in the file of answers; of a path its last part.
        name: short name in files and logs.
    """

    prompt: str = "{text}"
    model_id: str = "vl_dora"
    name: str = "ask"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        has_field(self.prompt, "text")

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question."""
        return Example(
            id=str(row["question_id"]),
            prompt=self.prompt.replace("{text}", row["text"]),
            target="",
            images=tuple(row["images"]),
            groups=asked_id(row),
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """There is nothing to compare with.

        Raises:
            ValueError: always, saying so.
        """
        scorable(predictions)
        raise ValueError("questions of a folder have no answers, so there is no score")

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """`answers.jsonl`, see `llava_answers`."""
        return [write_llava_answers(directory, predictions, self.model_id)]
