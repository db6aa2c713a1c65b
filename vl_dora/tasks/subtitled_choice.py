"""TVQA and How2QA: which answer is right of a clip with subtitles? (Lei et al. 2018; Li et al. 2020)

A row: {"qid": 122039, "q": "What is Janice holding on to?", "a0": "Chandler's tie", ..., "a4": "Her hat",
"answer_idx": 0, "ts": "76.01-84.2", "vid_name": "friends_s02e05_seg02_clip_03", "show_name": "Friends",
"subtitles": ({"text": "Hey!", "start": 1.0, "end": 1.5}, ...), "frames": ClipRef("videos/tv/....mp4")}

Source of the prompt and the target: VL-Adapter (Sung et al. 2022, arXiv:2112.06825).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import multiple_choice as metric
from vl_dora.metrics.statistic import groups
from vl_dora.tasks import choices, server_files, subtitles
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport


@dataclass(frozen=True)
class SubtitledChoice:
    """The answer is `aN`, the number of a choice; any other text is wrong.

    Args:
        name: short name in files and logs.
        prompt: {question} and {choices} are filled from the row, {subtitles} and {moment} too where they are
            named; only lines of the subtitles may be left out where the prompt is too long.
        submission: name of the file that the VALUE server takes.
        moment_as_list: a moment given as two numbers is written [s, e] in place of s-e; the reference's way.
    """

    name: str
    prompt: str
    submission: str
    moment_as_list: bool = False
    headline: str = "accuracy"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        subtitles.check_places("prompt", self.prompt, ("question", "choices"), ("subtitles", "moment"))

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one question; without answer_idx in the row its target is empty."""
        offered = [row[f"a{n}"] for n in range(len(row)) if f"a{n}" in row]
        texts = {"question": row["q"].strip(), "choices": choices.listed(offered)}
        if "{moment}" in self.prompt:
            texts["moment"] = subtitles.moment_text(row, as_list=self.moment_as_list)
        prompt, spare = subtitles.filled(self.prompt, texts, row["subtitles"], subtitles.moment_of(row))
        target = f"a{row['answer_idx']}" if "answer_idx" in row else ""
        show = {"show": row["show_name"]} if "show_name" in row else {}
        return Example(
            id=str(row["qid"]),
            prompt=prompt,
            target=target,
            frames=row["frames"],
            answers=(target,) if target else (),
            groups={"question_type": first_word(row["q"]), "video": row["vid_name"], **show},
            spare=spare,
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """Accuracy in percent as VALUE computes it, by show where the rows tell it and by the first word.

        The questions of one video are one cluster.
        """
        scorable(predictions)
        choices.warn_of_none(self.name, predictions, "count as wrong")
        said = [choices.chosen(p.text) for p in predictions]
        right = [choices.chosen(p.answers[0]) for p in predictions]
        hits = [100.0 * (a == b) for a, b in zip(said, right, strict=True)]
        videos = [p.example.groups["video"] for p in predictions]
        shows = [p.example.groups["show"] for p in predictions if "show" in p.example.groups]
        scored = metric.score(said, right, videos, shows if len(shows) == len(said) else ())
        words = [p.example.groups["question_type"] for p in predictions]
        return ScoreReport(
            scores={"accuracy": sum(hits) / len(hits)},
            by_type={**scored.by_type, "question_type": groups(words, hits)},
            per_sample={p.id: hit for p, hit in zip(predictions, hits, strict=True)},
            clusters={p.id: video for p, video in zip(predictions, videos, strict=True)},
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """VALUE's file: one object {qid: index}; a text that is no choice is written as 0."""
        choices.warn_of_none(self.name, predictions, f"are submitted as 0 in {self.submission}")
        said = {p.id: server_files.choice_index(p.text) for p in predictions}
        return [server_files.write_value_choices(Path(directory) / self.submission, said)]


def first_word(question: str) -> str:
    """The first word of a question in lower case, which tells its kind."""
    return (question.split() or [""])[0].lower()
