"""Text, JSON and fields of a benchmark's files, so that every error says where it is and what is expected.

The readers of `data_modules.formats` say the same of training data; they are not used here because a score
needs neither torch nor a data set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KINDS = {int: "a whole number", str: "a text", list: "a list", dict: "an object {...}"}


def text_of(path: Path | str, option: str) -> str:
    """The UTF-8 text of a file named by an option.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty or no UTF-8.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{option}={path} {state}; give the path of a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{option}={path} is not UTF-8 text ({error.reason}, byte {error.start})") from error
    if not text.strip():
        raise ValueError(f"{option}={path} is empty")
    return text


def parsed(text: str, path: Path | str, first_line: int = 1) -> Any:
    """The JSON value of `text`, which starts at line `first_line` of `path`; ValueError gives the place."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise ValueError(f"{path}, line {line}, column {error.colno}: not JSON ({error.msg})") from error


def as_object(value: Any, where: str) -> dict[str, Any]:
    """`value`, if it is a JSON object; ValueError otherwise."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object {{...}}, got {_shown(value)}")
    return value


def take(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """The field `name` of a row, which must be of type `kind`; ValueError otherwise."""
    if name not in row:
        raise ValueError(f"{where}: the field {name!r} is missing; fields there: {named(row)}")
    value = row[name]
    # JSON's true and false are instances of int in Python.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: {name!r} must be {_KINDS[kind]}, got {_shown(value)}")
    return value


def named(row: Mapping[str, Any]) -> str:
    """The first fields of a row, for a message."""
    names = [str(name) for name in row]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "none"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
