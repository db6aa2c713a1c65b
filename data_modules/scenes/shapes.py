"""The drawn SHAPES world: pictures and questions in the files and the style of the real data set.

A split S is four files (Andreas et al. 2016): `S.input.npy` uint8 (N, 30, 30, 3) in the order blue, green,
red; `S.query` logical forms, `S.query_str.txt` sentences, `S.output` true or false, one line per picture.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_modules.scenes.drawn import Drawn
from data_modules.scenes.shapes_drawing import draw_pictures, draw_scenes
from data_modules.scenes.shapes_logic import (
    ATTRIBUTES,
    COLOURS,
    SHAPES,
    STEPS,
    Scenes,
    answers,
    noun,
    questions,
    sentence,
    where,
)

CELL_CHANNELS = (*ATTRIBUTES, "empty")
# Questions held out per split, by number of relations: as the real validation split has them (4, 7, 5).
HELD_OUT = (4, 7, 5)
# Beside all other questions with no or one relation; together 212, as many as the real train.large has.
TRAIN_WITH_TWO = 54
# Training questions asked of other pictures, by which runs are compared while training.
SEEN_AGAIN = 10


def write(folder: Path, *, seed: int = 0, train_pictures: int = 64, held_out_pictures: int = 64) -> None:
    """Writes train.large (212 questions), train.small (10 of these), val and test (16 unseen ones each).

    No two splits share a picture, but for chance.

    Args:
        folder: where the files go; it exists.
        seed: of the choice of questions and of the pictures.
        train_pictures: pictures per training question, as many true as false where both exist.
        held_out_pictures: pictures per question of the other splits, answers as they fall.
    """
    chosen = _split_questions(np.random.RandomState(seed))
    for split, queries in chosen.items():
        train = split == "train.large"
        count = train_pictures if train else held_out_pictures
        write_split(folder, split, queries, seed=seed, pictures_per_question=count, balanced=train)


def _split_questions(random: np.random.RandomState) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {"train.large": [], "val": [], "test": []}
    for relations, held_out in enumerate(HELD_OUT):
        every = list(questions(relations))
        every = [every[i] for i in random.permutation(len(every))]
        chosen["val"] += every[:held_out]
        chosen["test"] += every[held_out : 2 * held_out]
        kept = every[2 * held_out :]
        chosen["train.large"] += kept if relations < 2 else kept[:TRAIN_WITH_TWO]
    seen = chosen["train.large"]
    chosen["train.small"] = [seen[i] for i in random.permutation(len(seen))[:SEEN_AGAIN]]
    return {split: sorted(queries) for split, queries in chosen.items()}


def write_split(
    folder: Path,
    split: str,
    queries: Sequence[str],
    *,
    seed: int,
    pictures_per_question: int,
    balanced: bool,
) -> None:
    """Writes the four official files of one split, its items in random order.

    Args:
        folder: where the files go; it exists.
        split: their first name.
        queries: logical forms.
        seed: with the split and the question it fixes the pictures, whatever else is drawn.
        pictures_per_question: how many different pictures each question is asked of.
        balanced: half of a question's pictures answer true, where both answers exist.
    """
    pictures, labels = [], []
    for query in queries:
        random = np.random.RandomState([seed, zlib.crc32(f"{split} {query}".encode())])
        scenes = _scenes_for(query, pictures_per_question, random, balanced=balanced)
        pictures.append(draw_pictures(scenes, random)[..., ::-1])
        labels.append(answers(query, scenes))
    every_query = np.repeat(np.asarray(queries), pictures_per_question)
    order = np.random.RandomState([seed, zlib.crc32(split.encode())]).permutation(len(every_query))
    np.save(folder / f"{split}.input.npy", np.concatenate(pictures)[order])
    said = {query: sentence(query) for query in queries}
    asked = [str(every_query[i]) for i in order]
    _write_lines(folder / f"{split}.query", asked)
    _write_lines(folder / f"{split}.query_str.txt", [said[query] for query in asked])
    truth = np.concatenate(labels)[order]
    _write_lines(folder / f"{split}.output", ["true" if t else "false" for t in truth])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _scenes_for(query: str, count: int, random: np.random.RandomState, *, balanced: bool) -> Scenes:
    if not balanced:
        return draw_scenes(count, random)
    # The rarest answer that can occur at all ((is red red) is false) is seen once in 16 pictures.
    pool = draw_scenes(count * 16 + 256, random)
    truth = answers(query, pool)
    true, false = np.flatnonzero(truth), np.flatnonzero(~truth)
    num_true = min(max(count // 2, count - len(false)), len(true))
    chosen = np.concatenate([true[:num_true], false[: count - num_true]])
    return pool[chosen]


def samples(seed: int, count: int) -> Iterator[Drawn]:
    """Pictures with questions for pretraining; none of them is a question of SHAPES.

    Every target is nine words, one a cell, row by row: the cells' colours, their shapes, or whether each
    cell holds an attribute or lies one step from it ("where is above a red shape").
    """
    random = np.random.RandomState([seed, zlib.crc32(b"shapes samples")])
    for start in range(0, count, 256):
        scenes = draw_scenes(256, random)
        pictures = draw_pictures(scenes, random)
        asked = [_questions(scenes[i : i + 1], random) for i in range(256)]
        for i in range(min(256, count - start)):
            yield Drawn(pictures[i : i + 1], _cells(scenes[i : i + 1]), asked[i])


def _cells(scene: Scenes) -> np.ndarray:
    held = [where(attribute, scene) for attribute in ATTRIBUTES]
    return np.stack([*held, scene.shapes < 0], axis=-1)


def _questions(scene: Scenes, random: np.random.RandomState) -> tuple[tuple[str, str, str], ...]:
    attribute = ATTRIBUTES[random.randint(6)]
    one, other = ((tuple(STEPS)[random.randint(4)], ATTRIBUTES[random.randint(6)]) for _ in range(2))
    return (
        ("colours", "shapes: name the colours", _names(scene.colours, COLOURS)),
        ("shapes", "shapes: name the shapes", _names(scene.shapes, SHAPES)),
        *(
            (kind, f"shapes: where is {noun(form)}", _truths(where(form, scene)))
            for kind, form in (("where", attribute), ("where relation", one), ("where relation", other))
        ),
    )


def _names(held: np.ndarray, words: tuple[str, ...]) -> str:
    return " ".join("nothing" if i < 0 else words[i] for i in held.flat)


def _truths(found: np.ndarray) -> str:
    return " ".join("true" if f else "false" for f in found.flat)
