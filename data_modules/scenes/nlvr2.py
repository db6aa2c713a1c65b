"""The embedded NLVR2 data set: pairs of drawn scenes in NLVR2's official files.

    <folder>/train.json, dev.json, test1.json                      JSON lines
    <folder>/balanced/balanced_dev.json, unbalanced/unbalanced_dev.json   and the same for test1
    <folder>/images/train/0/train-0-0-img0.png, dev/dev-0-0-img0.png, test1/...

A set has four pairs and two sentences; each sentence is true of two pairs and false of two. A pair with
both labels is balanced. No picture occurs in two splits.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.random import RandomState
from PIL import Image

from data_modules.scenes.scene import Scene, random_scene
from data_modules.scenes.statements import STATEMENTS, Pair, Statement

PAIRS, SENTENCES = 4, 2
SETS_A_FOLDER = 100


def write(folder: Path, *, seed: int = 0, train: int = 1500, dev: int = 60, test1: int = 200) -> None:
    """Draws the splits into `folder`.

    Args:
        folder: created if missing.
        seed: of the frozen random stream; the same seed gives the same files everywhere.
        train: sets of train: four pairs, two sentences each, so eight rows.
        dev: sets of dev.
        test1: sets of test1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[Scene] = set()
    for number, (name, size) in enumerate({"train": train, "dev": dev, "test1": test1}.items()):
        # + 3,000: no other world draws from these seeds.
        random = RandomState((seed + 3000) * 10 + number)
        rows = _draw(folder, name, size, random, seen)
        _dump(folder / f"{name}.json", rows)
        if name != "train":
            for subset, chosen in _subsets(rows).items():
                (folder / subset).mkdir(exist_ok=True)
                _dump(folder / subset / f"{subset}_{name}.json", chosen)


def _draw(folder: Path, name: str, size: int, random: RandomState, seen: set[Scene]) -> list[dict[str, Any]]:
    used: Counter[str] = Counter()
    everything = {kind: statements() for kind, statements in STATEMENTS.items()}
    rows: list[dict[str, Any]] = []
    for number in range(size):
        statements: list[Statement] = []
        while len(statements) < SENTENCES:
            pairs = [(_fresh(random, seen), _fresh(random, seen)) for _ in range(PAIRS)]
            statements = _choose(everything, pairs, used, random)
        directory = number // SETS_A_FOLDER
        place = folder / (f"images/train/{directory}" if name == "train" else name)
        place.mkdir(parents=True, exist_ok=True)
        for p, pair in enumerate(pairs):
            seen.update(pair)
            for k, scene in enumerate(pair):
                Image.fromarray(scene.draw()).save(place / f"{name}-{number}-{p}-img{k}.png")
        for s, statement in enumerate(statements):
            for p, pair in enumerate(pairs):
                row = {
                    "identifier": f"{name}-{number}-{p}-{s}",
                    "sentence": f"{statement.sentence[0].upper()}{statement.sentence[1:]}.",
                    "label": str(statement.holds(pair)),
                }
                rows.append({**row, "directory": directory} if name == "train" else row)
    return rows


def _fresh(random: RandomState, seen: set[Scene]) -> Scene:
    scene = random_scene(random)
    while scene in seen:
        scene = random_scene(random)
    return scene


def _choose(
    everything: dict[str, list[Statement]], pairs: list[Pair], used: Counter[str], random: RandomState
) -> list[Statement]:
    """Two statements of the kinds used least so far, each true of two of the four pairs.

    Fewer where the pairs allow no more.
    """
    chosen: list[Statement] = []
    for kind in sorted(everything, key=lambda kind: (used[kind], kind)):
        fitting = [s for s in everything[kind] if 2 * sum(map(s.holds, pairs)) == PAIRS]
        if fitting and len(chosen) < SENTENCES:
            least = min(used[s.sentence] for s in fitting)
            fitting = [s for s in fitting if used[s.sentence] == least]
            statement = fitting[random.randint(len(fitting))]
            chosen.append(statement)
    if len(chosen) == SENTENCES:
        kinds = {s.sentence: kind for kind, statements in everything.items() for s in statements}
        for statement in chosen:
            used.update((statement.sentence, kinds[statement.sentence]))
    return chosen


def _subsets(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by whether their pair of pictures has both labels."""
    labels: dict[str, set[str]] = {}
    for row in rows:
        labels.setdefault(row["identifier"].rpartition("-")[0], set()).add(row["label"])
    both = {pair for pair, found in labels.items() if len(found) == 2}
    return {
        "balanced": [row for row in rows if row["identifier"].rpartition("-")[0] in both],
        "unbalanced": [row for row in rows if row["identifier"].rpartition("-")[0] not in both],
    }


def _dump(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
