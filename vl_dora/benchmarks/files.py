"""Reading result and annotation files so that predictions and references can only be paired by id.

A file of rows is a JSON list, a JSON object that holds the list under a known name, or JSON lines. A file of
values is one JSON object {id: value}. Ids are compared as text: 7 and "7" are the same id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vl_dora.benchmarks.fields import as_object, named, parsed, text_of

T = TypeVar("T")

_LISTS = ("annotations", "data", "questions", "results")
_SHOWN = 5


def rows_of(path: Path | str, option: str) -> list[tuple[dict[str, Any], str]]:
    """The rows of a file, each with where it stands.

    Raises:
        FileNotFoundError, ValueError: no such file, or it holds no rows.
    """
    text = text_of(path, option)
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        return list(_lines(text, path, option))
    if isinstance(document, dict):
        lists = [name for name in _LISTS if isinstance(document.get(name), list)]
        if not lists and text.strip().count("\n") == 0:
            return [(document, f"{path}, row 1")]
        if not lists:
            raise ValueError(
                f"{option}={path} must hold a list of rows, alone, as JSON lines or under one of "
                f"{', '.join(_LISTS)}; got an object with {named(document)}"
            )
        document = document[lists[0]]
    if not isinstance(document, list):
        raise ValueError(f"{option}={path} must hold a list of rows, got {type(document).__name__}")
    return [
        (as_object(row, f"{path}, row {n}"), f"{path}, row {n}") for n, row in enumerate(document, start=1)
    ]


def _lines(text: str, path: Path | str, option: str) -> Iterator[tuple[dict[str, Any], str]]:
    named_file = f"{option}={path}"
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, row {number}"
            yield as_object(parsed(line, named_file, number), where), where


def values_of(path: Path | str, option: str) -> dict[str, Any]:
    """The object {id: value} of a file.

    Raises:
        FileNotFoundError, ValueError: no such file, it is no object, or an id is in it twice.
    """
    doubled: list[str] = []

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                doubled.append(name)
            found[name] = value
        return found

    text = text_of(path, option)
    try:
        document = as_object(json.loads(text, object_pairs_hook=kept), str(path))
    except json.JSONDecodeError:
        parsed(text, f"{option}={path}")  # says where it is broken
        raise
    if doubled:
        twice = _counted(list(dict.fromkeys(doubled)))
        raise ValueError(f"{option}={path}: {twice} more than once; each id may have one value")
    return document


def by_id(rows: Iterable[tuple[T, str]], of: Callable[[T, str], str], file: str) -> dict[str, T]:
    """Rows by their id.

    Args:
        rows: (row, where it stands).
        of: (row, where) -> id.
        file: option and path, for the message.

    Raises:
        ValueError: ids are in it twice; they are counted and named.
    """
    found: dict[str, T] = {}
    doubled: list[str] = []
    for row, where in rows:
        name = of(row, where)
        if name in found:
            doubled.append(name)
        else:
            found[name] = row
    if doubled:
        raise ValueError(
            f"{file}: {_counted(list(dict.fromkeys(doubled)))} more than once; each id may be there once"
        )
    return found


def answers_of(path: Path | str, ids: tuple[str, ...], answers: tuple[str, ...]) -> dict[str, Any]:
    """Predictions by id: rows with an id and an answer, or one object {id: answer}.

    Args:
        path: the file of the option `predictions`.
        ids: names that the id may have in a row, the first that is there counts.
        answers: names that the answer may have.
    """
    text = text_of(path, "predictions")
    if text.lstrip().startswith("{") and _is_mapping(text):
        return values_of(path, "predictions")
    rows = by_id(
        rows_of(path, "predictions"), lambda row, where: id_of(row, ids, where), f"predictions={path}"
    )
    return {name: first_of(row, answers, f"{path}, id {name}") for name, row in rows.items()}


def _is_mapping(text: str) -> bool:
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        return False  # several lines, each an object
    return not any(isinstance(document.get(name), list) for name in _LISTS)


def id_of(row: Mapping[str, Any], names: tuple[str, ...], where: str) -> str:
    """The id of a row as text, under the first of `names` that is there; ValueError otherwise."""
    value = first_of(row, names, where)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{where}: an id must be a whole number or a text, got {value!r}")
    return str(value)


def first_of(row: Mapping[str, Any], names: tuple[str, ...], where: str) -> Any:
    """The value under the first of `names` that a row has; ValueError where it has none."""
    found = next((name for name in names if name in row), None)
    if found is None:
        wanted = f"the field {names[0]!r} is missing"
        if len(names) > 1:
            wanted = f"none of the fields {', '.join(names)} is there"
        raise ValueError(f"{where}: {wanted}; fields there: {named(row)}")
    return row[found]


def as_text(value: Any, name: str) -> str:
    """An answer that must be a text; ValueError otherwise."""
    if not isinstance(value, str):
        raise ValueError(f"predictions: the answer to {name} must be a text, got {value!r}")
    return value


def as_index(value: Any, name: str) -> int:
    """An answer that must be the number of a choice; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"predictions: the answer to {name} must be the number of a choice, got {value!r}")
    return value


def matched(
    predictions: Mapping[str, T], references: Iterable[str], *, files: tuple[Path | str, Path | str]
) -> list[T]:
    """The predictions in the order of the references.

    Raises:
        ValueError: predictions are missing or foreign; both are counted and named.
    """
    wanted = list(references)
    known = set(wanted)
    missing = [name for name in wanted if name not in predictions]
    foreign = [name for name in predictions if name not in known]
    faults = []
    if missing:
        faults.append(f"{_counted(missing, of=len(wanted))} without a prediction")
    if foreign:
        faults.append(f"{_counted(foreign)} not among the references")
    if faults:
        raise ValueError(
            f"predictions={files[0]} and references={files[1]} do not belong together: "
            f"{' and '.join(faults)}; there must be one prediction for each id"
        )
    if not wanted:
        raise ValueError(f"references={files[1]} holds nothing to score")
    return [predictions[name] for name in wanted]


def _counted(names: list[str], of: int | None = None) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    share = f" of {of}" if of is not None else ""
    return f"{len(names)}{share} id{'' if (of or len(names)) == 1 else 's'} ({shown})"
