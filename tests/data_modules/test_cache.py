from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_modules.cache import drawn_world, world_name

WORLD = """
import time

def write(folder, *, seed=0, size=3):
    (folder / "half").write_text("half")
    time.sleep({pause})
    (folder / "whole").write_text(str(seed))
"""


def write(folder: Path, *, seed: int = 0) -> None:
    (folder / "seed.txt").write_text(str(seed))


def broken(folder: Path) -> None:
    (folder / "half").write_text("half")
    raise RuntimeError("the pencil broke")


def test_a_world_is_drawn_once_and_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    first = drawn_world(functools.partial(write, seed=4), tmp_path / "new" / "cache")
    assert (first / "seed.txt").read_text() == "4" and first.parent == tmp_path / "new" / "cache"
    assert "drawing the embedded world" in caplog.text
    (first / "seed.txt").write_text("kept")
    again = drawn_world(functools.partial(write, seed=4), tmp_path / "new" / "cache")
    assert again == first and (again / "seed.txt").read_text() == "kept"


def test_other_arguments_are_another_world():
    names = {world_name(functools.partial(write, seed=seed)) for seed in (0, 1)}
    assert len(names) == 2
    assert world_name(write) == world_name(functools.partial(write, seed=0)) in names
    assert world_name(broken) not in names


def test_changed_drawing_code_is_another_world(tmp_path):
    def name() -> str:
        code = "import world; from data_modules.cache import world_name; print(world_name(world.write))"
        return subprocess.run(
            [sys.executable, "-B", "-c", code],
            cwd=tmp_path,
            env=_env(),
            capture_output=True,
            check=True,
            text=True,
        ).stdout

    (tmp_path / "world.py").write_text(WORLD.format(pause=0))
    first, second = name(), name()
    (tmp_path / "world.py").write_text(WORLD.format(pause=1))
    assert first == second != name()
    assert first.startswith("world-")


def test_code_edited_while_a_process_runs_gives_its_drawings_no_new_name(tmp_path):
    (tmp_path / "world.py").write_text(WORLD.format(pause=0))
    code = (
        "import pathlib, world; from data_modules.cache import world_name; print(world_name(world.write)); "
        "pathlib.Path('world.py').write_text('# edited'); print(world_name(world.write))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path,
        env=_env(),
        capture_output=True,
        check=True,
        text=True,
    )
    before, after = done.stdout.split()
    assert before == after


def test_a_drawing_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        drawn_world(broken, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once_get_one_whole_world(tmp_path):
    (tmp_path / "world.py").write_text(WORLD.format(pause=0.5))
    code = (
        "import world; from data_modules.cache import drawn_world; "
        "print(sorted(p.name for p in drawn_world(world.write, 'cache').iterdir()))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=tmp_path, env=_env(), stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [p.communicate()[0].strip() for p in started] == ["['half', 'whole']"] * 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_cache_folder_that_cannot_be_made_names_its_key(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="paths.cache_dir=.*cannot be written to"):
        drawn_world(write, tmp_path / "file" / "cache")


def _env() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return {**os.environ, "PYTHONPATH": root + os.pathsep + "."}
