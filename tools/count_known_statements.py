"""Counts the statements of a Cornell NLVR split that the boxes grammar makes word for word.

    PYTHONPATH=. python tools/count_known_statements.py ../shared/data/nlvr/dev/dev.json RUN/predictions.jsonl

Draws statements with a seed of its own and, given predictions of the split, scores both halves.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from data_modules.scenes.boxes import ask, families
from data_modules.scenes.boxes_meaning import Bank
from data_modules.scenes.boxes_pictures import scattered, towers
from data_modules.scenes.boxes_words import Speaker
from vl_dora.tasks.nlvr_cornell import NLVRCornell


def drawn(seed: int, count: int) -> set[str]:
    """The texts of `count` statements, without a last full stop."""
    rng = np.random.RandomState(seed)
    texts: list[str] = []
    while len(texts) < count:
        for drawing in (towers, scattered):
            bank = Bank(families(rng, drawing))
            speaker = Speaker(rng, bank.scenes[0])
            texts += [found[0].rstrip(" .") for _ in range(192) if (found := ask(speaker, bank))]
    return set(texts[:count])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("split", type=Path, help="the official JSON lines of a split")
    parser.add_argument("predictions", type=Path, nargs="?", help="predictions.jsonl of a run on it")
    parser.add_argument("--statements", type=int, default=250_000)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    known, written = drawn(options.seed, options.statements), NLVRCornell()._written
    rows = [json.loads(line) for line in options.split.read_text().splitlines() if line.strip()]
    hits = sum(written(row["sentence"]).rstrip(" .") in known for row in rows)
    out = [f"{hits} of {len(rows)} statements are among {options.statements} drawn ones"]
    if options.predictions:
        scores: dict[bool, list[float]] = {True: [], False: []}
        for line in options.predictions.read_text().splitlines():
            prediction = json.loads(line)
            text = prediction["prompt"].removeprefix("nlvr: ").rstrip(" .")
            scores[text in known].append(prediction["score"])
        out += [
            f"{'known' if which else 'others'}: {np.mean(values):.1f} % of {len(values)} pictures"
            for which, values in scores.items()
            if values
        ]
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
