"""METEOR 1.5, by the official program: it needs Java, and the package that carries it (the extra `meteor`).

Source: Denkowski & Lavie 2014; `meteor-1.5.jar` in pycocoevalcap 1.2, English, normalised, as run there. The
program gives counts for each caption, which add up, and the score of any sum of counts.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vl_dora.metrics.statistic import Numbers, Sums

_JAR = "meteor-1.5.jar"
_ARGUMENTS = ("-", "-", "-stdio", "-l", "en", "-norm")
_SEPARATOR = " ||| "


def meteor(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Sums:
    """METEOR, 0 to 1, as a statistic over captions given as token strings.

    Raises:
        ValueError: Java or the package is missing, or the program fails.
    """
    folder = _folder()
    asked = [
        _SEPARATOR.join(("SCORE", *texts, text.replace("|||", "").replace("  ", " ")))
        for text, texts in zip(captions, references, strict=True)
    ]
    rows = [[float(number) for number in line.split()] for line in _answers(folder, asked, 1)]

    def formula(sums: Numbers) -> dict[str, Numbers]:
        wanted = [_SEPARATOR.join(("EVAL", " ".join(f"{number:.1f}" for number in row))) for row in sums]
        # Each is answered twice: for the line, then for all lines of that question.
        return {"METEOR": np.array([float(line) for line in _answers(folder, wanted, 2)[1::2]])}

    return Sums(np.array(rows, dtype=np.float64), formula)


def _folder() -> Path:
    if shutil.which("java") is None:
        raise ValueError(
            "METEOR needs Java, and no program java is on the PATH; install a Java runtime or set "
            "meteor=false"
        )
    found = find_spec("pycocoevalcap")
    places = [Path(place) / "meteor" for place in (found.submodule_search_locations or ())] if found else []
    folder = next((place for place in places if (place / _JAR).is_file()), None)
    if folder is None:
        raise ValueError(
            "METEOR needs the program in the package pycocoevalcap, which is not installed; "
            "pip install 'vl-dora[meteor]' or set meteor=false"
        )
    return folder


def _answers(folder: Path, lines: Sequence[str], each: int) -> list[str]:
    run = subprocess.run(
        ["java", "-jar", "-Xmx2G", _JAR, *_ARGUMENTS],
        cwd=folder,
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    answers = run.stdout.splitlines()
    if run.returncode or len(answers) != each * len(lines):
        said = " ".join(run.stderr.split())[:200]
        raise ValueError(f"the METEOR program answered {len(answers)} lines to {len(lines)}: {said}")
    return answers
