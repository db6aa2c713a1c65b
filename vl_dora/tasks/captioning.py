"""Captioning: say what a picture shows, compared with what five people said (Chen et al. 2015)

A row: {"image_id": 391895, "captions": ["A man with a red helmet ...", ...], "caption_id": 770337,
"images": (ImageRef("val2014/COCO_val2014_000000391895.jpg"),)}; caption_id only where a row is one caption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics import captions as metric
from vl_dora.metrics.cider import cider
from vl_dora.metrics.ptb_tokenizer import tokenize
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.submission import write_whole


@dataclass(frozen=True)
class Captioning:
    """A row of one caption is learned; a row of all captions of a picture is scored.

    Args:
        prompt: what the encoder reads; nothing is filled in.
        name: short name in files and logs.
    """

    prompt: str = "caption: "
    name: str = "caption"
    headline: str = "cider"
    loss_reduction: str = "token"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one caption, or of one picture with all its captions; the first is the target."""
        captions = tuple(row["captions"])
        number = f"-{row['caption_id']}" if "caption_id" in row else ""
        return Example(
            id=f"{row['image_id']}{number}",
            prompt=self.prompt,
            target=captions[0] if captions else "",
            images=tuple(row["images"]),
            answers=captions,
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """`cider` times 100, then BLEU-1 to 4 and ROUGE-L in percent, as pycocoevalcap computes them.

        A picture's share of CIDEr depends on the other pictures, whose references make the word weights.
        """
        scorable(predictions)
        scored = metric.score([p.text for p in predictions], [p.answers for p in predictions])
        shares = cider(tokenize([p.text for p in predictions]), [tokenize(p.answers) for p in predictions])
        return ScoreReport(
            scores=_in_percent(scored.scores),
            per_sample={p.id: 100 * share for p, share in zip(predictions, shares, strict=True)},
            clusters={p.id: p.example.images[0].path if p.example.images else p.id for p in predictions},
            statistic=lambda weights: _in_percent(scored.statistic(weights)),
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """The server's file `captions_results.json`: a list of {"image_id": int, "caption": str}."""
        rows = [{"image_id": int(p.id.split("-")[0]), "caption": p.text.strip()} for p in predictions]
        text = json.dumps(rows, ensure_ascii=False, indent=0)
        return [write_whole(Path(directory) / "captions_results.json", text + "\n")]


def _in_percent(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Official scores in lower case and times 100; CIDEr, the headline, is their first."""
    return {name.lower(): 100 * value for name, value in scores.items()}
