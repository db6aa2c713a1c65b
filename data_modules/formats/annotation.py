"""Reading an annotation file so that every error names file and row and what is expected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_KINDS = {
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "an object {...}",
}

# Where doubled ids are noted instead of raised; None: they are raised.
_noted: ContextVar[list[str] | None] = ContextVar("noted", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Inside the block `first_seen` adds its message to the list given, and the reader goes on."""
    found: list[str] = []
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def data_root(root: Path) -> Path:
    """The data folder, if it is there and holds anything.

    Raises:
        FileNotFoundError: the folder is missing, is a file, or is empty.
    """
    root = Path(root)
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise FileNotFoundError(f"data.root={root} {state}; give the folder that holds the data set")
    if not any(root.iterdir()):
        raise FileNotFoundError(
            f"data.root={root} is an empty folder; give the folder that holds the data set"
        )
    return root


def split_file(root: Path, name: str, split: str, available: Iterable[str]) -> Path:
    """The file `name` of a split below `root`.

    Raises:
        FileNotFoundError: it is missing; the message lists the splits that are there.
    """
    path = data_root(root) / name
    if not path.is_file():
        there = ", ".join(available) or "none"
        raise FileNotFoundError(
            f"split {split!r} needs the file {path}, which is missing; splits there: {there}"
        )
    return path


def read_text(path: Path) -> str:
    """The UTF-8 text of a file that must not be empty.

    Raises:
        ValueError: no text, or bytes that are not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text ({error.reason})") from error
    if not text.strip():
        raise ValueError(f"{path} is empty; expected an annotation file")
    return text


def parse_json(text: str, path: Path, first_line: int = 1) -> Any:
    """The JSON value of `text`, which starts at line `first_line` of `path`.

    Raises:
        ValueError: not JSON; the message gives line and column.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise ValueError(f"{path}, line {line}, column {error.colno}: not JSON ({error.msg})") from error


def json_lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a JSON-lines file with where each stands; blank lines are skipped.

    Raises:
        ValueError: a line is not a JSON object.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}, row {number}"
            yield as_object(parse_json(line, path, number), where), where


def as_object(value: Any, where: str) -> dict[str, Any]:
    """`value`, if it is a JSON object; ValueError otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object {{...}}, got {_shown(value)}")
    return value


def take(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """The field `name` of a row, which must be of type `kind`.

    Raises:
        ValueError: the field is missing (its neighbours are listed) or of another type.
    """
    if name not in row:
        there = ", ".join(map(str, row)) or "none"
        raise ValueError(f"{where}: the field {name!r} is missing; fields there: {there}")
    value = row[name]
    # JSON's true and false are instances of int in Python.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: {name!r} must be {_KINDS[kind]}, got {_shown(value)}")
    return value


def first_seen(seen: dict[Any, str], key: Any, name: str, where: str) -> None:
    """Notes that `key` stands at `where`.

    Raises:
        ValueError: it has been seen before; both places are named. Not inside `collecting`.
    """
    if key in seen:
        message = f"{where}: {name} {key!r} was used before, in {seen[key]}; each may appear once"
        noted = _noted.get()
        if noted is None:
            raise ValueError(message)
        noted.append(message)
        return
    seen[key] = where


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
