"""GQA: a compositional question about a picture, one right answer (Hudson & Manning 2019, arXiv:1902.09506)

A row: {"question_id": "201307251", "question": "Is the sky dark?", "answer": "yes", "isBalanced": True,
"types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"}, "groups": {"global": None,
...}, "entailed": ["201307252"], "semantic": [{"operation": "select", ...}, ...],
"images": (ImageRef("images/2354786.jpg"),)}, or VL-Adapter's "label": {"yes": 1.0} in place of the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import gqa as metric
from vl_dora.metrics.statistic import groups
from vl_dora.tasks import server_files
from vl_dora.tasks.checks import has_field, scorable
from vl_dora.tasks.interface import ScoreReport

TYPO = "gpa: {question}"
"""What the reference's image tasks put before every GQA question (VL-T5 and all that built on it)."""


@dataclass(frozen=True)
class GQA:
    """The answer must be the right one letter by letter, as the official script compares.

    Args:
        prompt: `{question}` is filled from the row.
        prompt_typo: read "gpa: " before the question whatever `prompt` says; the reference's fault, which
            its published weights were trained with.
        name: short name in files and logs.
    """

    prompt: str = "gqa: {question}"
    prompt_typo: bool = False
    name: str = "gqa"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        has_field(self.prompt, "question")

    @property
    def template(self) -> str:
        """The prompt before it is filled."""
        return TYPO if self.prompt_typo else self.prompt

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; without `answer` and `label` in the row its target is empty.

        With several labels the most certain is the target and training draws among all by their score.
        """
        label = row.get("label") or ({row["answer"]: 1.0} if "answer" in row else {})
        target = max(label, key=lambda answer: label[answer]) if label else ""
        return Example(
            id=str(row["question_id"]),
            prompt=self.template.replace("{question}", row["question"]),
            target=target,
            images=tuple(row["images"]),
            answers=tuple(label),
            targets=tuple(label.items()) if len(label) > 1 else (),
            groups=_groups(row),
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """The official scores over the balanced questions; questions of one picture are one cluster.

        `accuracy`, `binary` and `open` in percent, and `consistency` where all that is entailed was asked.
        Distribution (no percentage, better lower), validity and plausibility (which need a file of choices)
        are told by `vl_dora.score` of the submission file. Rows of VL-Adapter's files tell no types:
        `accuracy` alone.

        Raises:
            ValueError: nothing to score, or no balanced question.
        """
        scorable(predictions)
        images = {p.id: _picture(p.example) for p in predictions}
        if not all("structural" in p.example.groups for p in predictions):
            hits = {p.id: 100.0 * (p.text in p.answers) for p in predictions}
            return ScoreReport({"accuracy": sum(hits.values()) / len(hits)}, {}, hits, images)
        questions = {p.id: _question(p.example) for p in predictions}
        scored = metric.score({p.id: p.text for p in predictions}, questions)
        counted = [p for p in predictions if questions[p.id].balanced]
        hits = {p.id: 100.0 * (p.text == questions[p.id].answer) for p in counted}
        detailed = groups([questions[p.id].detailed for p in counted], list(hits.values()))
        return ScoreReport(
            scores={
                name: value
                for name, value in scored.scores.items()
                if name != "distribution" and not math.isnan(value)
            },
            by_type={"question_type": detailed, **scored.by_type},
            per_sample=hits,
            clusters={p.id: images[p.id] for p in counted},
            statistic=scored.statistic,
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """EvalAI's file `gqa_results.json`: a list of {"questionId": str, "prediction": str}."""
        answers = {p.id: p.text.strip() for p in predictions}
        return [server_files.write_gqa(Path(directory) / "gqa_results.json", answers)]


def _groups(row: Mapping[str, Any]) -> dict[str, str]:
    """What the official scores need to know of a question; empty for VL-Adapter's rows, which lack it."""
    if "types" not in row:
        return {}
    program = [(step["operation"], step["argument"]) for step in row["semantic"]]
    return {
        "question_type": row["types"]["detailed"],
        "structural": row["types"]["structural"],
        "semantic": row["types"]["semantic"],
        "answer_group": row["groups"].get("global") or "",
        "balanced": "yes" if row["isBalanced"] else "no",
        "entailed": " ".join(row["entailed"]),
        "steps": str(metric.num_steps(program)),
        "words": str(len(row["question"].split())),
    }


def _question(example: Example) -> metric.Question:
    given = example.groups
    return metric.Question(
        answer=example.answers[0],
        image=_picture(example),
        balanced=given["balanced"] == "yes",
        structural=given["structural"],
        semantic=given["semantic"],
        detailed=given["question_type"],
        group=given["answer_group"] or None,
        entailed=tuple(other for other in given["entailed"].split() if other != example.id),
        num_steps=int(given["steps"]),
        num_words=int(given["words"]),
    )


def _picture(example: Example) -> str:
    return example.images[0].path if example.images else example.id
