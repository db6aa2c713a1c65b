"""ScienceQA: school science in multiple choice, half of it with a picture (Lu et al. 2022, arXiv:2209.09513).

    llava_test_CQM-A.json       LLaVA's questions (`playground/data/eval/scienceqa`): [{"id": "5", "image":
        "5/image.png", "conversations": [{"from": "human", "value": "<image>\\nContext: ..."}, ...]}, ...]
    problems.json               {"5": {"question": "Which ...?", "choices": ["...", ...], "answer": 1, "hint":
        "", "image": "image.png" | null, "subject": "natural science", "grade": "grade2", "topic": ..., ...}}
    pid_splits.json             {"test": ["5", ...], "val": [...], ...}
    images/test/5/image.png     also test/5/image.png

A prompt is the first human turn without its image token, and the instruction to answer with a letter. Where
LLaVA's file is not there, the turn is made of the problem in the order that its name stands for: context,
question, multiple options.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import as_object, data_root, first_seen, parse_json, read_text, take
from data_modules.formats.llava_pictures import NamedPictures
from data_modules.formats.llava_questions import LETTER, Placed, instructed, named_ids
from data_modules.formats.vl_adapter import json_list

LETTERS = "ABCDE"


@dataclass(frozen=True)
class ScienceQA:
    """Reads LLaVA's questions joined with the official problems by id.

    Args:
        image_only: only the problems that have a picture (the IMG subset).
        picture_folders: where pictures are looked for, the first that has it; {split} is the split's name.
    """

    image_only: bool = False
    picture_folders: tuple[str, ...] = ("images/{split}", "{split}")

    def rows(self, root: Path, split: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The problems of a split, in the order of LLaVA's file, or of the split's list.

        A row holds question_id, asked_id, text, images (empty or one), and the official fields choices,
        answer, hint, subject, grade and topic.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file or row is not as expected, or the files do not belong together.
        """
        root = data_root(root)
        problems, ids = self._problems(root), self._ids(root, split)
        path = root / f"llava_{split}_CQM-A.json"
        asked = list(_asked(path)) if path.is_file() else _made(root / "problems.json", problems, ids)
        _same_problems([row["id"] for row, _ in asked], ids, problems, path, root, split)
        pictures = NamedPictures(root, tuple(f.replace("{split}", split) for f in self.picture_folders))
        for row, where in asked:
            if self.image_only and row["image"] is None:
                continue
            problem = problems[row["id"]]
            images = () if row["image"] is None else (pictures.named(row["image"]),)
            names = {"question_id": row["id"], "asked_id": row["id"]}
            yield {**problem, **names, "text": instructed(row["text"], LETTER), "images": images}, where

    def splits(self, root: Path) -> tuple[str, ...]:
        """The splits that pid_splits.json lists."""
        path = data_root(root) / "pid_splits.json"
        return tuple(_object(path)) if path.is_file() else ()

    def _ids(self, root: Path, split: str) -> list[str]:
        path = root / "pid_splits.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; it lists the problems of every split")
        splits = _object(path)
        if split not in splits:
            raise FileNotFoundError(
                f"split {split!r} is not in {path}; splits there: {', '.join(splits) or 'none'}"
            )
        return [str(name) for name in take(splits, split, list, str(path))]

    def _problems(self, root: Path) -> dict[str, dict[str, Any]]:
        path = root / "problems.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; it holds the problems and their answers")
        found = {}
        for key, value in _object(path).items():
            where = f"{path}, problem {key}"
            row = as_object(value, where)
            take(row, "question", str, where)
            choices = take(row, "choices", list, where)
            answer = take(row, "answer", int, where)
            if not 2 <= len(choices) <= len(LETTERS) or not all(isinstance(c, str) for c in choices):
                raise ValueError(f"{where}: 'choices' must be 2 to {len(LETTERS)} texts, got {choices}")
            if not 0 <= answer < len(choices):
                raise ValueError(f"{where}: 'answer' must lie in 0..{len(choices) - 1}, got {answer}")
            for name in ("hint", "subject", "grade", "topic"):
                take(row, name, str, where)
            if row.get("image") is not None:
                take(row, "image", str, where)
            found[key] = row
        return found


def _asked(path: Path) -> Iterator[Placed]:
    """LLaVA's questions as {"id", "image" (None without), "text"}."""
    seen: dict[str, str] = {}
    for row, where in json_list(path):
        name = take(row, "id", str, where)
        first_seen(seen, name, "id", where)
        turns = take(row, "conversations", list, where)
        if not turns:
            raise ValueError(f"{where}: 'conversations' is empty; expected a human turn")
        first = as_object(turns[0], f"{where}, turn 1")
        if take(first, "from", str, f"{where}, turn 1") != "human":
            raise ValueError(
                f"{where}, turn 1: the conversation must begin with human, got {first['from']!r}"
            )
        text = take(first, "value", str, f"{where}, turn 1")
        image = take(row, "image", str, where) if row.get("image") is not None else None
        if ("<image>" in text) != (image is not None):
            told = "an image token but no image" if image is None else "an image but no image token"
            raise ValueError(f"{where}: the question has {told}")
        yield {"id": name, "image": image, "text": text.replace("<image>", "").strip()}, where


def _made(path: Path, problems: dict[str, dict[str, Any]], ids: list[str]) -> list[Placed]:
    """The same rows, made of the official problems."""
    rows = []
    for name in ids:
        if name not in problems:
            continue  # named by _same_problems
        problem = problems[name]
        image = None if problem.get("image") is None else f"{name}/{problem['image']}"
        options = " ".join(f"({letter}) {c}" for letter, c in zip(LETTERS, problem["choices"], strict=False))
        context = problem["hint"].strip() or "N/A"
        text = f"Context: {context}\nQuestion: {problem['question']}\nOptions: {options}".replace("  ", " ")
        rows.append(({"id": name, "image": image, "text": text}, f"{path}, problem {name}"))
    return rows


def _same_problems(
    asked: list[str], ids: list[str], problems: dict[str, Any], path: Path, root: Path, split: str
) -> None:
    unknown = [name for name in dict.fromkeys([*ids, *asked]) if name not in problems]
    if unknown:
        raise ValueError(
            f"{named_ids('problem', unknown)} of split {split!r} not in {root / 'problems.json'}"
        )
    foreign, missing = sorted(set(asked) - set(ids)), [name for name in ids if name not in set(asked)]
    if foreign or missing:
        told = [f"{named_ids('question', foreign)} not of split {split!r}"] if foreign else []
        told += [f"{named_ids('problem', missing)} of split {split!r} without a question"] if missing else []
        raise ValueError(
            f"{path} and {root / 'pid_splits.json'} do not belong together: {' and '.join(told)}"
        )


def _object(path: Path) -> dict[str, Any]:
    return as_object(parse_json(read_text(path), path), str(path))
