"""A wheel and an editable install both bring configs, bases and the console script, from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "vl_dora", "conf", "data_modules")

pytestmark = pytest.mark.slow


def call(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, without this checkout on its path."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    run = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
    return run.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project's files without a build's left-overs, so that nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("copy")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(copy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(folder)!r})"
    call(sys.executable, "-c", code, cwd=copy)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module", params=["wheel", "editable"])
def environment(request, copy, tmp_path_factory):
    """Scripts folder of a fresh environment with the project installed, dependencies borrowed from ours."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder, with_pip=False)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None, "the extra 'test' brings uv"
    python = next(scripts.glob("python*"))
    site = Path(call(python, "-c", "import sysconfig as s; print(s.get_path('purelib'))", cwd=folder).strip())
    # A path file lends the packages without running the path files among them, our own editable one included.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    what = ["--editable", copy] if request.param == "editable" else [request.getfixturevalue("wheel")]
    call(
        uv,
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--no-build-isolation",
        "--python",
        python,
        *what,
        cwd=folder,
    )
    return scripts


def test_the_wheel_holds_every_config_base_and_template(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {
        f"vl_dora/conf/{p.relative_to(ROOT / 'conf').as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")
    }
    bases = {p.relative_to(ROOT).as_posix() for p in (ROOT / "vl_dora/bases").rglob("*") if p.is_file()}
    code = {
        p.relative_to(ROOT).as_posix()
        for room in ("vl_dora", "data_modules")
        for p in (ROOT / room).rglob("*.py")
    }
    assert configs and not configs - names
    assert bases and not bases - names
    assert not code - names
    assert {"vl_dora/reports/samples_page.html", "vl_dora/py.typed"} <= names


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vl_dora", "data_modules"}


def test_configs_are_found_from_another_folder_beside_a_foreign_conf(environment, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text("foreign: true\n")
    code = "import vl_dora.conf, data_modules; print(vl_dora.conf.__path__[0], data_modules.__file__)"
    found = call(environment / "python", "-c", code, cwd=tmp_path).split()
    assert not any(Path(place).is_relative_to(ROOT) for place in found), (
        "this checkout answered, not the install"
    )
    for command in (["python", "-m", "vl_dora.train"], ["vl-dora", "train"]):
        name, *rest = command
        shown = call(environment / name, *rest, "experiment=vqa", "--cfg", "job", cwd=tmp_path)
        assert "vl_dora.tasks" in shown and "foreign" not in shown


def test_a_template_is_found_after_installation(environment, tmp_path):
    code = (
        "from pathlib import Path; from vl_dora.reports.samples_page import write_samples_page as w;"
        "w([], {}, Path('.'), Path('page.html'), title='empty')"
    )
    call(environment / "python", "-c", code, cwd=tmp_path)
    assert "There is no prediction to show" in (tmp_path / "page.html").read_text()
