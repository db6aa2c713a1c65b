"""SHAPES: is the question true of a grid of shapes? (Andreas et al. 2016, arXiv:1511.02799)

A row: {"query_str": "is a triangle above right of a square", "query": "(is triangle (above (right_of
square)))", "output": "false", "split": "val", "index": 0,
"images": (ImageRef("val.input.npy", index=0, bgr=True),)}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics.exact_match import exact_match
from vl_dora.tasks.checks import has_field, scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.submission import write_whole


@dataclass(frozen=True)
class Shapes:
    """The answer is the word true or false; any other text is wrong.

    Args:
        prompt: `{question}` is filled from the row's sentence.
        name: short name in files and logs.
    """

    prompt: str = "shapes: {question}"
    name: str = "shapes"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        has_field(self.prompt, "question")

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one item; its id is `split-index`, which no network reads."""
        return Example(
            id=f"{row['split']}-{row['index']}",
            prompt=self.prompt.replace("{question}", row["query_str"]),
            target=row["output"],
            images=tuple(row["images"]),
            answers=(row["output"],),
            groups={"question": row["query_str"]},
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """Accuracy in percent, broken down by question.

        Every question is asked of many pictures and none is shared between the official training and
        evaluation splits, so the items of one question are one cluster.
        """
        scorable(predictions)
        hits = exact_match([p.text for p in predictions], [p.answers for p in predictions])
        by_question: dict[str, list[bool]] = {}
        for prediction, hit in zip(predictions, hits, strict=True):
            by_question.setdefault(prediction.example.groups["question"], []).append(hit)
        return ScoreReport(
            scores={"accuracy": 100 * sum(hits) / len(hits)},
            by_type={"question": {name: 100 * sum(h) / len(h) for name, h in by_question.items()}},
            per_sample={p.id: 100.0 * hit for p, hit in zip(predictions, hits, strict=True)},
            clusters={p.id: p.example.groups["question"] for p in predictions},
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """`shapes_SPLIT.output`, one prediction a line in the form of the official S.output file.

        Line i is item i of the split; an item without a prediction leaves its line empty. The benchmark
        has no server and names no other form.
        """
        by_split: dict[str, dict[int, str]] = {}
        for prediction in predictions:
            split, _, index = prediction.id.rpartition("-")
            by_split.setdefault(split, {})[int(index)] = " ".join(prediction.text.lower().split())
        return [
            write_whole(
                Path(directory) / f"shapes_{split}.output",
                "".join(f"{words.get(index, '')}\n" for index in range(max(words) + 1)),
            )
            for split, words in by_split.items()
        ]
