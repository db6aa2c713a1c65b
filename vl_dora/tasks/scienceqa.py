"""ScienceQA: school science in multiple choice (Lu et al. 2022, arXiv:2209.09513).

A row: {"question_id": "5", "asked_id": "5", "text": "Context: N/A\\nQuestion: Which?\\nOptions: (A) x (B)
y\\nAnswer with the option's letter from the given choices directly.", "choices": ["x", "y"], "answer": 1,
"hint": "", "subject": "natural science", "grade": "grade2", "topic": "biology", "images":
(ImageRef("images/test/5/image.png"),), or () where the problem has no picture}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import scienceqa as metric
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.llava_answers import asked_id, pictures_of, write_llava_answers

_FACTS = ("subject", "grade", "topic")
_EMPTY = -1.0  # what the official table says of a group without problems


@dataclass(frozen=True)
class ScienceQA:
    """The prompt is the row's text, the target a letter; a text is read as a letter by LLaVA's rule.

    Args:
        model_id: name of the model in LLaVA's file of answers; of a path its last part.
        name: short name in files and logs.
    """

    model_id: str = "vl_dora"
    name: str = "scienceqa"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one problem."""
        letter = metric.LETTERS[row["answer"]]
        return Example(
            id=str(row["question_id"]),
            prompt=row["text"],
            target=letter,
            images=tuple(row["images"]),
            answers=(letter,),
            groups={
                **{name: row[name] for name in _FACTS},
                "hint": "yes" if row["hint"] else "no",
                "choices": str(len(row["choices"])),
                **asked_id(row),
            },
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """`accuracy` over all, `image_accuracy` over those with a picture, percent, and the official table.

        What cannot be read as one of the letters is wrong; nothing is guessed. Every problem is a cluster.
        """
        scorable(predictions)
        problems = [_problem(p.example) for p in predictions]
        shown = [bool(p.example.images) for p in predictions]
        scored = metric.score([p.text for p in predictions], problems, shown)
        right = {
            p.id: 100.0 * (metric.choice(p.text, problem.num_choices) == problem.answer)
            for p, problem in zip(predictions, problems, strict=True)
        }
        return ScoreReport(
            scores=scored.scores,
            by_type={
                kind: {name: value for name, value in found.items() if value != _EMPTY}
                for kind, found in scored.by_type.items()
            },
            per_sample=right,
            clusters=pictures_of(predictions),
            statistic=scored.statistic,
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's `answers.jsonl`, whose prompts begin with <image> where there is a picture; no server."""
        return [write_llava_answers(directory, predictions, self.model_id, _prompt)]


def _prompt(prediction: Prediction) -> str:
    example = prediction.example
    return f"<image>\n{example.prompt}" if example.images else example.prompt


def _problem(example: Example) -> metric.Problem:
    given = example.groups
    return metric.Problem(
        num_choices=int(given["choices"]),
        answer=metric.LETTERS.index(example.answers[0]),
        subject=given["subject"],
        grade=given["grade"],
        topic=given["topic"],
        has_hint=given["hint"] == "yes",
        has_image=bool(example.images),
    )
