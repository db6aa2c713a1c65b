"""Caption scores: tokens as the official tokenizer cuts them, then BLEU-1 to 4, ROUGE-L and CIDEr.

Source of the behaviour: pycocoevalcap 1.2, and the VALUE evaluator for `value_score`, which first turns
characters outside ASCII into spaces and gives percent with two places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vl_dora.metrics.bleu import bleu
from vl_dora.metrics.cider import cider
from vl_dora.metrics.meteor import meteor
from vl_dora.metrics.ptb_tokenizer import tokenize
from vl_dora.metrics.rouge_l import rouge_l
from vl_dora.metrics.statistic import Scaled, Scored, Statistic, Together, at_once, means

_OUTSIDE_ASCII = re.compile(r"[^\x00-\x7f]")


def score(
    captions: Sequence[str], references: Sequence[Sequence[str]], *, with_meteor: bool = False
) -> Scored:
    """CIDEr, BLEU and ROUGE-L on the official scale (0 to 1, CIDEr 0 to 10); each picture is its own cluster.

    Args:
        captions: one for each of n pictures, in the order of the reference file.
        references: those of each picture.
        with_meteor: METEOR as well, which needs Java and the extra `meteor`.

    Raises:
        ValueError: there is no caption, a picture has no reference, or METEOR cannot be run.
    """
    if not captions:
        raise ValueError("caption scores of no captions are undefined; got an empty sequence")
    empty = [place for place, texts in enumerate(references) if not texts]
    if empty:
        raise ValueError(
            f"{len(empty)} pictures have no reference caption, the first is number {empty[0] + 1}"
        )
    mine = tokenize(captions)
    flat = iter(tokenize([text for texts in references for text in texts]))
    others = [[next(flat) for _ in texts] for texts in references]
    rouge = [rouge_l(text, texts) for text, texts in zip(mine, others, strict=True)]
    parts: list[Statistic] = [
        means({"CIDEr": cider(mine, others)}),
        bleu(mine, others),
        means({"ROUGE_L": rouge}),
    ]
    if with_meteor:
        parts.append(meteor(mine, others))
    statistic = Together(tuple(parts))
    notes = () if len(captions) > 1 else ("CIDEr of a single picture is 0, as its idf is",)
    return Scored(
        scores=at_once(statistic, len(captions)),
        scale="0 to 1, CIDEr 0 to 10",
        statistic=statistic,
        clusters=list(range(len(captions))),
        notes=notes,
    )


def ascii_only(caption: str) -> str:
    """Every character outside ASCII turned into a space."""
    return _OUTSIDE_ASCII.sub(" ", caption)


def value_score(
    captions: Sequence[str], references: Sequence[Sequence[str]], *, with_meteor: bool = False
) -> Scored:
    """The scores as the VALUE leaderboard gives them: ASCII only, percent, two places."""
    plain = [[ascii_only(text) for text in texts] for texts in references]
    scored = score([ascii_only(text) for text in captions], plain, with_meteor=with_meteor)
    statistic = Scaled(scored.statistic, 100.0)
    return Scored(
        scores={name: round(100 * value, 2) for name, value in scored.scores.items()},
        scale="percent",
        statistic=statistic,
        clusters=scored.clusters,
        notes=scored.notes,
    )
