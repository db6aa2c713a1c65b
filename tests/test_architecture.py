"""Who may import whom, and what must not be found anywhere; read from the source by `ast`."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("vl_dora", "data_modules", "tools", "tests", "conf")

# A room is a file or a folder, the longest match counts: our modules, then the packages, that it may import.
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "vl_dora/batch.py": (set(), {"torch"}),
    "vl_dora/__init__.py": (set(), set()),
    "vl_dora/cli.py": (set(), set()),
    "vl_dora/adapters": ({"vl_dora.adapters"}, {"torch", "safetensors"}),
    "vl_dora/metrics": ({"vl_dora.metrics"}, {"numpy"}),
    "vl_dora/benchmarks": (  # files in, scores out
        {"vl_dora.benchmarks", "vl_dora.metrics"},
        {"numpy", "openpyxl"},  # uploads to MMBench may be workbooks; an optional extra
    ),
    "vl_dora/models": (
        {"vl_dora.models", "vl_dora.batch"},
        {
            "torch",
            "torchvision",
            "transformers",
            "timm",
            "tokenizers",
            "safetensors",
            "huggingface_hub",
            "numpy",
        },
    ),
    "vl_dora/tasks": (
        {"vl_dora.tasks", "vl_dora.batch", "vl_dora.metrics"},
        {"openpyxl"},  # MMBench's server takes workbooks; an optional extra
    ),
    "vl_dora/lightning_modules": (
        {
            "vl_dora.lightning_modules",
            "vl_dora.adapters",
            "vl_dora.models.interface",
            "vl_dora.tasks.interface",
            "vl_dora.batch",
        },
        {"torch", "lightning", "rich", "numpy", "torchmetrics", "safetensors"},
    ),
    "vl_dora/reports": (
        {"vl_dora.reports", "vl_dora.batch"},
        {"matplotlib", "jinja2", "rich", "numpy", "PIL"},
    ),
    "data_modules": (
        {"data_modules", "vl_dora.batch", "vl_dora.tasks.interface"},
        {
            "lightning",
            "torch",
            "torchvision",
            "numpy",
            "PIL",
            "decord",
            "av",
            "h5py",
            "pyarrow",
            "tokenizers",
            "transformers",
            "safetensors",
        },
    ),
    "vl_dora/lmms_model.py": (  # an optional extra
        {"vl_dora.adapters", "vl_dora.batch", "vl_dora.building", "vl_dora.entry_point"}
        | {"vl_dora.run_directory", "vl_dora.run_source"},
        {"lmms_eval", "torch", "lightning"},
    ),
    "vl_dora/chat_page.py": (set(), {"gradio", "starlette"}),  # an optional extra
    "vl_dora/planning": ({"vl_dora.planning", "vl_dora.batch", "vl_dora.adapters"}, {"torch", "omegaconf"}),
    "vl_dora": (  # entry points, and what they share
        {
            "vl_dora.batch",
            "vl_dora.adapters",
            "vl_dora.reports",
            "vl_dora.metrics",
            "vl_dora.lightning_modules",
            "vl_dora.planning",
            "vl_dora.models.interface",
            "vl_dora.tasks.interface",
        },
        {"hydra", "omegaconf", "lightning", "torch", "rich", "numpy", "huggingface_hub", "optuna"},
    ),
}
ENTRY_POINT_FILES = {f"vl_dora.{path.stem}" for path in (ROOT / "vl_dora").glob("*.py")}
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "vl_dora", "conf", "data_modules", "tests", "tools"}
HUB_CODE = "trust_" + "remote_code"  # in two halves, or this file would find itself
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}


def sources(*folders: str) -> list[str]:
    """Python files below these folders, as paths from the root."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def room_of(path: str) -> str | None:
    """The longest name in ROOMS that `path` is or lies below."""
    fits = [room for room in ROOMS if path == room or path.startswith(room + "/")]
    return max(fits, key=len, default=None)


def imported_modules(tree: ast.AST, path: str) -> set[str]:
    """Full names of what a file imports anywhere; `from a import b` counts as `a.b`."""
    package = path.removesuffix(".py").split("/")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            found |= {f"{stem}.{alias.name}" for alias in node.names}
    return found


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def wrong_imports(text: str, path: str) -> list[str]:
    """Imports that the room of `path` may not make."""
    room = room_of(path)
    assert room is not None, f"{path} lies in no room; give it one in ROOMS or move it"
    ours, others = ROOMS[room]
    if room == "vl_dora":
        ours = ours | ENTRY_POINT_FILES
    wrong = []
    for name in sorted(imported_modules(ast.parse(text), path)):
        top = name.split(".")[0]
        if top in OURS:
            allowed = any(within(name, module) for module in ours)
        else:
            allowed = top in others or top in sys.stdlib_module_names
        if not allowed:
            wrong.append(name)
    return wrong


def forbidden_calls(text: str) -> list[str]:
    """Bare prints, edits of sys.path, code from a hub, pickles loaded without `weights_only=True`."""
    found = []
    for node in ast.walk(ast.parse(text)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
            found.append(f"line {line}: sys.path")
        if isinstance(node, ast.keyword) and node.arg == HUB_CODE:
            found.append(f"line {node.value.lineno}: {HUB_CODE}")
        if isinstance(node, ast.Constant) and node.value == HUB_CODE:
            found.append(f"line {line}: {HUB_CODE}")
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print":
                found.append(f"line {line}: print")
            safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
            if called == "torch.load" and not safe:
                found.append(f"line {line}: torch.load without weights_only=True")
    return found


@pytest.mark.parametrize("path", sources("vl_dora", "data_modules"))
def test_a_room_imports_only_what_the_house_allows(path):
    wrong = wrong_imports((ROOT / path).read_text(encoding="utf-8"), path)
    assert not wrong, f"{path} belongs to {room_of(path)}, which may not import {wrong}"


@pytest.mark.parametrize("path", sources("vl_dora", "data_modules", "tools", "tests"))
def test_a_file_holds_no_forbidden_call_and_no_vague_name(path):
    found = forbidden_calls((ROOT / path).read_text(encoding="utf-8"))
    if path.startswith(("tools/", "tests/")):
        found = [line for line in found if not line.endswith(": print")]
    assert not found, f"{path}: {found}"
    vague = VAGUE_NAMES & set(Path(path).with_suffix("").parts)
    assert not vague, f"{path}: {vague} says nothing of what it holds"


def test_no_config_asks_for_code_from_a_hub():
    asking = [p.name for p in (ROOT / "conf").rglob("*.yaml") if HUB_CODE in p.read_text("utf-8")]
    assert not asking


def test_nothing_but_the_agreed_entries_lies_at_the_top():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout to tell the project's files from a run's")
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    entries = {line.split("/")[0] for line in listing.stdout.splitlines()}
    strange = {entry for entry in entries - TOP_LEVEL if not entry.startswith(".")}
    assert entries and not strange, (
        f"the top level holds {strange}; allowed: {sorted(TOP_LEVEL)} and dotfiles"
    )


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        (
            "vl_dora/adapters/dora.py",
            "import torch\nimport math\nfrom vl_dora.batch import Batch",
            "vl_dora.batch.Batch",
        ),
        ("vl_dora/adapters/dora.py", "def f():\n    import lightning.pytorch", "lightning.pytorch"),
        ("vl_dora/models/llava.py", "from ..adapters import dora", "vl_dora.adapters.dora"),
        ("vl_dora/tasks/vqa.py", "from vl_dora import models", "vl_dora.models"),
        ("vl_dora/metrics/exact.py", "import torch", "torch"),
        ("vl_dora/lightning_modules/base.py", "from vl_dora.tasks.vqa import VQA", "vl_dora.tasks.vqa.VQA"),
        ("vl_dora/train.py", "import data_modules", "data_modules"),
        ("vl_dora/train.py", "from vl_dora.models.vl_bart import VLBart", "vl_dora.models.vl_bart.VLBart"),
        ("data_modules/collate.py", "from vl_dora.models import interface", "vl_dora.models.interface"),
        ("vl_dora/reports/curve.py", "import lightning", "lightning"),
    ],
)
def test_a_wrong_import_is_seen(path, text, wrong):
    assert wrong_imports(text, path) == [wrong]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "vl_dora/tasks/vqa.py",
            "from .interface import Task\nfrom ..batch import Example\nfrom vl_dora.metrics import exact",
        ),
        (
            "vl_dora/evaluate.py",
            "import hydra\nfrom vl_dora.cli import usage\nfrom vl_dora.tasks.interface import Task",
        ),
        (
            "data_modules/collate.py",
            "import torch\nfrom vl_dora.tasks.interface import Task\nfrom . import visuals",
        ),
    ],
)
def test_a_right_import_passes(path, text):
    assert wrong_imports(text, path) == []


@pytest.mark.parametrize(
    "text",
    [
        "print('done')",
        "import sys\nsys.path.insert(0, '.')",
        "import sys\nsys.path = []",
        "load('x', trust_remote_code=True)",
        "load('x', **{'trust_remote_code': True})",
        "torch.load('x')",
        "torch.load('x', weights_only=False)",
    ],
)
def test_a_forbidden_call_is_seen(text):
    assert len(forbidden_calls(text)) == 1


def test_a_call_that_is_right_passes():
    assert forbidden_calls("torch.load('x', weights_only=True)\nconsole.print('x')\nsys.path_hooks") == []
