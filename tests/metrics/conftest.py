"""Samples with the scores that official evaluators gave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def kit(shared) -> Callable[[str], Any]:
    """kit(name) -> the sample of that name."""
    folder = shared / "data" / "metric_samples"
    return lambda name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
