"""DrawnTraining: real SHAPES questions asked of drawn pictures, where the real pictures are not at hand.

The real training pictures of SHAPES are not published beside its questions; a data folder may hold nothing
but `train.large.queries_unique.txt`, one logical form a line. Such a split is drawn once into the cache, in
the official files. Splits that come with pictures are read as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from data_modules.cache import drawn_world
from data_modules.scenes.shapes import write_split
from data_modules.scenes.shapes_logic import parse, questions

logger = logging.getLogger(__name__)

_QUERIES = ".queries_unique.txt"


class Reader(Protocol):
    """A reader of the official files."""

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """(row, "file, row N") in file order."""
        ...

    def splits(self, root: Path) -> tuple[str, ...]:
        """Names of the splits found in a folder."""
        ...


@dataclass(frozen=True)
class DrawnTraining:
    """A reader that draws the pictures of a training split which has questions only.

    Args:
        files: reads the official files.
        cache_dir: where drawn splits are kept; a drawing is found again by its arguments.
        pictures_per_question: half of them with the answer true, where both answers exist.
        seed: of the drawing.
        whole_grammar: ask, besides the split's own questions, every question with at most two relations
            that no split of the folder with a name other than `train…` asks.
    """

    files: Reader
    cache_dir: str
    pictures_per_question: int = 256
    seed: int = 0
    whole_grammar: bool = False

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The items of a split in file order; pictures of a drawn split are named by absolute paths.

        Raises:
            FileNotFoundError: the split has neither pictures nor questions in `root`.
            ValueError: a line of the questions is no logical form.
        """
        root = Path(root)
        if not self._is_drawn(root, split):
            yield from self.files.rows(root, split)
            return
        folder = self._draw(root, split)
        for row, place in self.files.rows(folder, split):
            images = tuple(replace(image, path=str(folder / image.path)) for image in row["images"])
            yield {**row, "images": images}, place

    def splits(self, root: Path) -> tuple[str, ...]:
        """Splits with pictures, then splits that would be drawn."""
        there = self.files.splits(root)
        named = (path.name.removesuffix(_QUERIES) for path in sorted(Path(root).glob(f"*{_QUERIES}")))
        return (*there, *(name for name in named if name not in there))

    def _is_drawn(self, root: Path, split: str) -> bool:
        return not (root / f"{split}.input.npy").is_file() and (root / f"{split}{_QUERIES}").is_file()

    def _draw(self, root: Path, split: str) -> Path:
        queries = _queries(root / f"{split}{_QUERIES}")
        num_real = len(queries)
        if self.whole_grammar:
            unseen = _asked_outside_training(root)
            every = [query for relations in range(3) for query in questions(relations)]
            queries = sorted({*queries, *every} - unseen)
        count, seed = self.pictures_per_question, self.seed
        draw = partial(
            write_split, split=split, queries=queries, seed=seed, pictures_per_question=count, balanced=True
        )
        folder = drawn_world(draw, self.cache_dir)
        logger.info(
            "Pictures of %s are GENERATED: %d questions of the data folder and %d further questions of the "
            "grammar, each asked of %d drawn pictures, kept in %s",
            *(split, num_real, len(queries) - num_real, count, folder),
        )
        return folder


def _queries(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").split("\n")
    found: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        query = line.strip()
        if not query:
            continue
        try:
            parse(query)
        except ValueError as error:
            raise ValueError(f"{path}, row {number}: {error}") from error
        found[query] = None
    if not found:
        raise ValueError(f"{path} is empty; expected one logical form a line")
    return list(found)


def _asked_outside_training(root: Path) -> set[str]:
    held_out = (path for path in root.glob("*.query") if not path.name.startswith("train"))
    return {query for path in held_out for query in _queries(path)}
