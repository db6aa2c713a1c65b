"""The git state that a run records, by real repositories."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from vl_dora.provenance import git_state, hardware, versions

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder, *words: str) -> str:
    user = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", "-C", folder, *user, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A package in a repository of one commit, which ignores the folder `installed`."""
    folder = tmp_path / "repository" / "package"
    folder.mkdir(parents=True)
    (folder / "code.py").write_text("x = 1\n")
    (folder.parent / ".gitignore").write_text("installed/\n")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", "-A")
    git(folder.parent, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_checkout_names_its_commit(package):
    assert git_state(package) == {"commit": git(package, "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_a_changed_or_new_file_makes_it_dirty(package, name):
    (package / name).write_text("x = 2\n")
    assert git_state(package)["dirty"] is True


def test_there_is_none_outside_of_a_repository_nor_for_what_is_installed_below_one(package, tmp_path):
    outside = tmp_path / "outside"
    installed = package.parent / "installed"
    for folder in (outside, installed):
        folder.mkdir()
        (folder / "code.py").write_text("x = 1\n")
        assert git_state(folder) is None


def test_a_repository_named_in_the_environment_is_not_taken_for_it(package, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_state(package)["dirty"] is False


def test_without_git_there_is_none(package, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state(package) is None


def test_machine_and_versions_are_told():
    found = hardware()
    assert found["cores"] >= 1 and found["threads"] >= 1 and found["memory_mib"] > 0
    assert {"python", "torch", "lightning"} <= set(versions())
