"""TVC and YC2C: say what happens in a clip with subtitles (Lei et al. 2020; Zhou et al. 2018)

A row: {"vid_name": "friends_s01e03_seg02_clip_19", "clip_id": 88532, "ts": [16.48, 33.87], "captions":
["Chandler says goodbye.", ...], "caption_id": 109434, "subtitles": ({"text": "Bye!", "start": 20.1, "end":
20.9}, ...), "frames": ClipRef("videos/tv/friends_....mp4")}; caption_id only where a row is one caption.

Source of the prompt: VL-Adapter (Sung et al. 2022, arXiv:2112.06825).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics.captions import ascii_only
from vl_dora.tasks import server_files, subtitles
from vl_dora.tasks.caption_report import report
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoCaptioning:
    """A row of one caption is learned; a row of all captions of a clip is scored.

    Args:
        name: short name in files and logs.
        prompt: {subtitles} and {moment} are filled from the row where they are named; only lines of the
            subtitles may be left out where the prompt is too long.
        submission: name of the file that the VALUE server takes.
        submits_moment: a line of that file tells start and end, as TVC asks for.
        moment_as_list: a moment is written [s, e] in place of s-e; the reference's way.
    """

    name: str
    prompt: str
    submission: str
    submits_moment: bool = False
    moment_as_list: bool = False
    headline: str = "cider"
    loss_reduction: str = "sample"

    def __post_init__(self) -> None:
        subtitles.check_places("prompt", self.prompt, (), ("subtitles", "moment"))

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one caption, or of one clip with all its captions; the first is the target."""
        texts = {}
        if "{moment}" in self.prompt:
            texts["moment"] = subtitles.moment_text(row, as_list=self.moment_as_list)
        prompt, spare = subtitles.filled(self.prompt, texts, row["subtitles"], subtitles.moment_of(row))
        captions = tuple(row["captions"])
        groups = {"video": row["vid_name"]}
        if "clip_id" in row:
            groups["clip_id"] = str(row["clip_id"])
        if "ts" in row:
            groups["ts"] = json.dumps(subtitles.moment_of(row))
        clip = groups.get("clip_id") or f"{row['vid_name']}@{groups.get('ts', '')}"
        number = f"-{row['caption_id']}" if "caption_id" in row else ""
        return Example(
            id=f"{clip}{number}",
            prompt=prompt,
            target=captions[0] if captions else "",
            frames=row["frames"],
            answers=captions,
            groups=groups,
            spare=spare,
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """`cider` times 100, then BLEU-1 to 4 and ROUGE-L in percent, as the VALUE evaluator computes them.

        It turns characters outside ASCII into spaces. The clips of one video are one cluster.
        """
        scorable(predictions)
        return report(
            predictions,
            [ascii_only(p.text) for p in predictions],
            [[ascii_only(text) for text in p.answers] for p in predictions],
            {p.id: p.example.groups["video"] for p in predictions},
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """VALUE's file, a line a clip; none where the annotations number no clips."""
        captions: dict[str, server_files.ClipCaption] = {}
        for prediction in predictions:
            groups = prediction.example.groups
            if "clip_id" not in groups or (self.submits_moment and "ts" not in groups):
                log.warning(
                    "%s: no %s is written: the sample %s has no clip_id or ts, which the server asks for",
                    self.name,
                    self.submission,
                    prediction.id,
                )
                return []
            caption = server_files.ClipCaption(
                clip_id=int(groups["clip_id"]),
                vid_name=groups["video"],
                caption=prediction.text.strip(),
                ts=tuple(json.loads(groups["ts"])) if self.submits_moment else None,
            )
            captions.setdefault(groups["clip_id"], caption)
        return [server_files.write_value_captions(Path(directory) / self.submission, captions.values())]
