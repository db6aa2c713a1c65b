"""The scores of captions as a report: CIDEr first, of which every caption has a share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vl_dora.batch import Prediction
from vl_dora.metrics import captions as metric
from vl_dora.metrics.cider import cider
from vl_dora.metrics.ptb_tokenizer import tokenize
from vl_dora.tasks.interface import ScoreReport


def report(
    predictions: Sequence[Prediction],
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    clusters: Mapping[str, str],
) -> ScoreReport:
    """`cider` times 100, then BLEU-1 to 4 and ROUGE-L in percent, as pycocoevalcap computes them.

    A caption's share of CIDEr depends on the other captions, whose references make the word weights.

    Args:
        predictions: whose ids name the captions.
        captions: their texts, as they are to be compared.
        references: the texts of people, likewise.
        clusters: id -> what is to be resampled together.
    """
    scored = metric.score(captions, references)
    shares = cider(tokenize(captions), [tokenize(texts) for texts in references])
    return ScoreReport(
        scores=_in_percent(scored.scores),
        per_sample={p.id: 100 * share for p, share in zip(predictions, shares, strict=True)},
        clusters=dict(clusters),
        statistic=lambda weights: _in_percent(scored.statistic(weights)),
    )


def _in_percent(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Official scores in lower case and times 100; CIDEr, the headline, is their first."""
    return {name.lower(): 100 * value for name, value in scores.items()}
