"""Cornell NLVR: is a human sentence true of three boxes of shapes? (Suhr et al. 2017, ACL)

The official folder (github.com/lil-lab/nlvr, folder nlvr/), JSON lines beside their pictures:

    SPLIT/SPLIT.json                    {"sentence": "There is a tower with four blocks.", "label":
        "true", "identifier": "3125-1", "directory": "2", ...}
    SPLIT/images/2/SPLIT-3125-1-k.png   400 x 100 pixels, k = 0..5: the six orders of the boxes

identifier n-m: n is the presentation, m the place in it. Three boxes of 100 x 100 pixels are
separated by 50 grey columns. m predicts the label and permutations differ by nothing that matters,
so `train:fit` and `train:held` split by presentation and the identifier is never part of a prompt.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import data_root, first_seen, json_lines, split_file, take
from vl_dora.batch import ImageRef

log = logging.getLogger(__name__)

BOXES = ((0, 0, 100, 100), (150, 0, 250, 100), (300, 0, 400, 100))
"""Left, top, right, bottom of the three boxes in a picture, in pixels."""

PARTS = ("fit", "held")


@dataclass(frozen=True)
class NLVRCornell:
    """Reads the official files; one row for every statement and permutation.

    The split word names the folder: `dev` reads dev/dev.json. `train` reads train/train.json or, where
    that is absent, train/train_gold.json. A word may end in `:fit` or `:held`: the presentations kept
    for fitting and those held out, by a hash of the presentation that never changes.

    Args:
        weak_labels: beside train_gold.json also read train_inferred.json, whose labels are inferred
            from the place in the presentation and wrong for about one statement in seven; never part of
            `:held`, and not read where the official train.json is there.
        permutations: k of the pictures of an official statement; the benchmark has all six.
        weak_permutations: k of the pictures of a weakly labelled statement.
        held_share: share of presentations in `:held`, 0 < held_share < 1.
    """

    weak_labels: bool = False
    permutations: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    weak_permutations: tuple[int, ...] = (0,)
    held_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.held_share < 1:
            raise ValueError(f"data.files.held_share={self.held_share} must lie between 0 and 1")

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The split's rows: statement by statement in file order, its permutations in order.

        A row holds the official fields, `presentation` (n), `permutation` (k), `picture` (the PNG's
        name), `label_source` (the file's, else "official" or, for weak labels, "inferred_from_position")
        and `images`: the three boxes.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file, a row or the split word is not as expected.
        """
        root = Path(root)
        word, _, part = split.partition(":")
        if part and part not in PARTS:
            raise ValueError(f"split {split!r}: what follows the colon must be one of {', '.join(PARTS)}")
        seen: dict[str, str] = {}
        for path, permutations, weak in self._files(root, word, split):
            if weak and part == "held":
                continue
            for row, where in json_lines(path):
                presentation = _checked(row, where)
                first_seen(seen, row["identifier"], "identifier", where)
                if not part or (part == "held") == is_held(presentation, self.held_share):
                    for k in permutations:
                        source = "inferred_from_position" if weak else "official"
                        yield {"label_source": source, **_row(row, word, presentation, k)}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The split words that the folder holds, `train` also in its two parts."""
        root = data_root(root)
        found = [f.name for f in sorted(root.iterdir()) if (f / f"{f.name}.json").is_file()]
        if (root / "train" / "train_gold.json").is_file() and "train" not in found:
            found.append("train")
        return tuple(sorted(found)) + tuple(f"train:{part}" for part in PARTS if "train" in found)

    def _files(self, root: Path, word: str, split: str) -> list[tuple[Path, tuple[int, ...], bool]]:
        there = self.splits(root)
        official = root / word / f"{word}.json"
        if word == "train" and not official.is_file() and "train" in there:
            files = [(root / "train" / "train_gold.json", tuple(self.permutations), False)]
            if self.weak_labels:
                inferred = split_file(root, "train/train_inferred.json", split, there)
                files.append((inferred, tuple(self.weak_permutations), True))
            return files
        if word == "train" and self.weak_labels:
            log.warning("%s has official labels for all of train; train_inferred.json is not read", official)
        return [(split_file(root, f"{word}/{word}.json", split, there), tuple(self.permutations), False)]


def is_held(presentation: str, share: float) -> bool:
    """Whether `:held` has this presentation: SHA-256 of its number, as a fraction, is below `share`."""
    digest = hashlib.sha256(presentation.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _checked(row: dict[str, Any], where: str) -> str:
    for name in ("sentence", "label", "identifier", "directory"):
        take(row, name, str, where)
    if row["label"].lower() not in ("true", "false"):
        raise ValueError(f"{where}: 'label' must be true or false, got {row['label']!r}")
    presentation, dash, place = row["identifier"].partition("-")
    if not (dash and presentation.isdigit() and place.isdigit()):
        raise ValueError(f"{where}: 'identifier' must read n-m (two numbers), got {row['identifier']!r}")
    return presentation


def _row(row: dict[str, Any], word: str, presentation: str, k: int) -> dict[str, Any]:
    picture = f"{word}-{row['identifier']}-{k}.png"
    path = f"{word}/images/{row['directory']}/{picture}"
    return {
        **row,
        "presentation": presentation,
        "permutation": k,
        "picture": picture,
        "images": tuple(ImageRef(path, crop=box) for box in BOXES),
    }
