"""Files in the official layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write(tmp_path) -> Callable[[str, Any], Path]:
    """write(name, value) -> path: text as it is, a list as JSON lines if the name ends in l, else JSON."""

    def file(name: str, value: Any) -> Path:
        if not isinstance(value, str):
            lines = name.endswith("l") and isinstance(value, list)
            value = "".join(f"{json.dumps(row)}\n" for row in value) if lines else json.dumps(value)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(value, encoding="utf-8")
        return path

    return file
