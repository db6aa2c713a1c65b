"""LLaVA's question files, and how their rows find the annotations of a benchmark.

A question file is one JSON object a line (arXiv:2310.03744, `playground/data/eval`):

    {"question_id": 262144000, "image": "COCO_test2015_000000262144.jpg", "category": "default",
     "text": "Is the ball flying towards the batter?\\nAnswer the question using a single word or phrase."}

`text` is the whole prompt. The instructions below stand on its last lines. Where the folder has the official
files of a benchmark alone, its reader makes the same prompts of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from data_modules.formats.annotation import first_seen, json_lines, take

OCR = "Reference OCR token:"
"""How the line of a TextVQA prompt begins that holds what a reader of characters found in the picture."""
SHORT_ANSWER = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."
UNANSWERABLE = "When the provided information is insufficient, respond with 'Unanswerable'."

Row = dict[str, Any]
Placed = tuple[Row, str]
"""A row and where it stands: "file, row N"."""

_SHOWN = 3


def question_rows(path: Path, *, unique: bool = True) -> Iterator[Placed]:
    """The rows of a question file, in file order, each with `asked_id`: its `question_id` as it is written.

    Args:
        path: the file.
        unique: a question_id may be there once only; False where it names the picture (TextVQA).

    Raises:
        ValueError: a line is no object, a field is missing or of another kind, or an id is there twice.
    """
    seen: dict[Any, str] = {}
    for row, where in json_lines(path):
        number = row.get("question_id")
        if isinstance(number, bool) or not isinstance(number, int | str):
            take(row, "question_id", str, where)  # says what is wrong with it
        take(row, "image", str, where)
        take(row, "text", str, where)
        if "category" in row:
            take(row, "category", str, where)
        if unique:
            first_seen(seen, str(number), "question_id", where)
        yield {**row, "asked_id": number}, where


def question_of(text: str) -> str:
    """The question inside a prompt: its first line that is none of OCR tokens."""
    lines = [line for line in text.split("\n") if not line.startswith(OCR)]
    return lines[0] if lines else ""


def instructed(question: str, *instructions: str) -> str:
    """The prompt of a question: each instruction on a line of its own below it."""
    return "\n".join([question, *instructions])


def paired(
    questions: Iterable[Placed],
    annotations: Iterable[Placed],
    question_key: Callable[[Row], Hashable],
    annotation_key: Callable[[Row], Hashable],
    *,
    files: tuple[Path, Path],
    unasked: str = "raise",
) -> list[tuple[Row, str, Row]]:
    """Every question, where it stands, and its annotation, paired by key whatever the order of either file.

    Rows that share a key (the same question asked twice of one picture) are paired in their order, which
    matters to no prompt.

    Args:
        questions: rows of the question file.
        annotations: rows of the official file.
        question_key: of a question.
        annotation_key: of an annotation.
        files: question file and annotation file, for messages.
        unasked: "raise", or "ignore" what no question asks for.

    Raises:
        ValueError: questions without annotations, or annotations without questions; counted and named.
    """
    if unasked not in ("raise", "ignore"):
        raise ValueError(f"data.files.unasked={unasked!r} must be raise or ignore")
    waiting: dict[Hashable, list[Placed]] = {}
    for row, where in annotations:
        waiting.setdefault(annotation_key(row), []).append((row, where))
    found: list[tuple[Row, str, Row]] = []
    alone: list[str] = []
    for row, where in questions:
        places = waiting.get(question_key(row))
        if places:
            found.append((row, where, places.pop(0)[0]))
        else:
            alone.append(where)
    left = [where for places in waiting.values() for _, where in places]
    if alone:
        raise ValueError(
            f"{_counted(len(alone), 'question')} without an annotation in {files[1]}: {_names(alone)}"
        )
    if left and unasked == "raise":
        raise ValueError(
            f"{_counted(len(left), 'annotation')} without a question in {files[0]}: {_names(left)}; set "
            "data.files.unasked=ignore to leave them out"
        )
    return found


def named_ids(what: str, ids: list[str]) -> str:
    """`3 things (a, b, c)`, at most a few named."""
    return f"{_counted(len(ids), what)} ({_names(ids)})"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _names(places: list[str]) -> str:
    return "; ".join(places[:_SHOWN]) + ("; ..." if len(places) > _SHOWN else "")
