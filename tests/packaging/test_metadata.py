"""What pyproject.toml says is what lies in the folders, on every platform it names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pyproject():
    # pytest itself brings tomli where the standard library has no reader yet.
    reader = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return reader.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_code_is_a_package_that_is_installed(pyproject):
    folders = {
        path.parent.relative_to(ROOT)
        for room in ("vl_dora", "data_modules")
        for path in (ROOT / room).rglob("*.py")
    }
    found = {".".join(folder.parts) for folder in folders} | {"vl_dora.conf"}
    assert set(pyproject["tool"]["setuptools"]["packages"]) == found
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)


@pytest.mark.parametrize(
    ("platform", "machine", "wanted"),
    [
        ("linux", "x86_64", True),
        ("win32", "AMD64", True),
        ("linux", "aarch64", False),
        ("darwin", "x86_64", False),
        ("darwin", "arm64", False),
    ],
)
def test_decord_is_asked_for_only_where_it_has_a_wheel(pyproject, platform, machine, wanted):
    listed = [Requirement(line) for line in pyproject["project"]["dependencies"]]
    (decord,) = [requirement for requirement in listed if requirement.name == "decord"]
    environment = {**default_environment(), "sys_platform": platform, "platform_machine": machine}
    assert decord.marker.evaluate(environment) is wanted


@pytest.mark.parametrize(
    ("name", "floor"),
    [("torch", "2.10"), ("transformers", "5.17"), ("lightning", "2.6"), ("hydra-core", "1.3.2")],
)
def test_the_oldest_version_that_was_run_is_admitted(pyproject, name, floor):
    (found,) = [r for r in map(Requirement, pyproject["project"]["dependencies"]) if r.name == name]
    assert found.specifier.contains(floor)


def test_no_dependency_is_pinned_or_fetched_from_an_address(pyproject):
    extras = pyproject["project"]["optional-dependencies"].values()
    lines = [*pyproject["project"]["dependencies"], *(line for extra in extras for line in extra)]
    pinned = [line for line in lines if "==" in line.split(";")[0] or "://" in line]
    assert not pinned
