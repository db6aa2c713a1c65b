"""Help and a bare import answer at once, since nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from vl_dora.cli import VERBS

HEAVY = ("torch", "transformers", "lightning", "timm", "matplotlib")


def heavy_after(code: str, cwd) -> str:
    """Which heavy packages a fresh interpreter holds after running `code`; its last line of output."""
    report = f"import sys; sys.stdout.write('\\n' + ' '.join(m for m in {HEAVY} if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], cwd=cwd, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1] if run.stdout.strip() else ""


def test_the_check_sees_a_heavy_import(tmp_path):
    assert heavy_after("import torch", tmp_path).split() == ["torch"]


@pytest.mark.parametrize("package", ["vl_dora", "data_modules", "vl_dora.cli", "vl_dora.reports"])
def test_a_bare_import_brings_nothing_heavy(package, tmp_path):
    assert heavy_after(f"import {package}", tmp_path) == ""


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_brings_nothing_heavy(verb, tmp_path):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{verb}', '--help']\n"
        f"try:\n    runpy.run_module('vl_dora.{verb}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n    assert not end.code, end.code"
    )
    assert heavy_after(code, tmp_path) == ""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_module_that_can_be_run(verb):
    assert find_spec(f"vl_dora.{verb}") is not None
