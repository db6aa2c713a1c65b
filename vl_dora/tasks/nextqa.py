"""NExT-QA, multiple choice: which of five answers is right of a clip? (Xiao et al. 2021, arXiv:2105.08276)

A row: {"video": "4010069381", "qid": "6", "question": "how do the two man play the instrument", "type": "CH",
"answer": 0, "a0": "roll the handle", ..., "a4": "strum the string", "frames": ClipRef("videos/....mp4")}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import multiple_choice as metric
from vl_dora.tasks import choices, server_files, subtitles
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport

NUM_CHOICES = 5


@dataclass(frozen=True)
class NExTQA:
    """The answer is `aN`, the number of a choice; any other text is wrong.

    Args:
        prompt: {question} and {choices} are filled from the row.
        name: short name in files and logs.
    """

    prompt: str = "[Q] {question} [Choices] {choices} nextqa: "
    name: str = "nextqa_mc"
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        subtitles.check_places("prompt", self.prompt, ("question", "choices"), ())

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; without an answer in the row its target is empty."""
        offered = choices.listed([row[f"a{number}"] for number in range(NUM_CHOICES)])
        texts = {"question": row["question"].strip(), "choices": offered}
        prompt, _ = subtitles.filled(self.prompt, texts, (), None)
        target = f"a{row['answer']}" if "answer" in row else ""
        return Example(
            id=f"{row['video']}_{row['qid']}",
            prompt=prompt,
            target=target,
            frames=row["frames"],
            answers=(target,) if target else (),
            groups={"question_type": row["type"], "video": row["video"]},
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """`accuracy` in percent, and those of causal, temporal and descriptive questions, by type.

        As the official script has it, TP counts as TN. The questions of one video are one cluster.
        """
        scorable(predictions)
        choices.warn_of_none(self.name, predictions, "count as wrong")
        said = [choices.chosen(p.text) for p in predictions]
        right = [choices.chosen(p.answers[0]) for p in predictions]
        hits = [100.0 * (a == b) for a, b in zip(said, right, strict=True)]
        videos = [p.example.groups["video"] for p in predictions]
        types = [p.example.groups["question_type"] for p in predictions]
        scored = metric.score_nextqa(said, right, videos, types)
        return ScoreReport(
            scores={**scored.scores, "accuracy": sum(hits) / len(hits)},
            by_type={"question_type": scored.by_type["type"]},
            per_sample={p.id: hit for p, hit in zip(predictions, hits, strict=True)},
            clusters={p.id: video for p, video in zip(predictions, videos, strict=True)},
            statistic=scored.statistic,
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """`nextqa_mc_predictions.json`: {video_qid: {"prediction": N, "answer": N}}, for `eval_mc.py`.

        A text that is no choice is written as -1, which counts as wrong.
        """
        said = {p.id: choices.chosen(p.text) for p in predictions}
        right = {p.id: choices.chosen(p.answers[0]) for p in predictions if p.answers}
        return [server_files.write_nextqa(Path(directory) / f"{self.name}_predictions.json", said, right)]
