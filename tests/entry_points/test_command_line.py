"""The verbs as a user types them: one process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from vl_dora.cli import VERBS


def call(verb: str, *overrides: str, cwd, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", f"vl_dora.{verb}", *overrides],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("verb", "overrides", "words"),
    [
        ("train", ["experiment=vqqa"], ["experiment=vqqa does not exist; allowed:", "vqa"]),
        ("train", ["adapter=doraa"], ["adapter=doraa does not exist; allowed: dora, "]),
        ("train", ["optim.lrr=1"], ["optim.lrr is not an option; allowed below optim:", "lr,"]),
        ("train", ["sead=1"], ["sead is not an option; allowed at the top:", "seed"]),
        ("train", ["data.root"], ["data.root", "name=value"]),
        ("evaluate", [], ["run is not set; give run=<value> on the command line"]),
        ("evaluate", ["run=nowhere"], ["nowhere is not a folder"]),
        ("evaluate", ["run=.", "data.splitt=x"], ["data.splitt is not an option", "split"]),
        ("plan", ["output=xml"], ["output=xml must be table or json"]),
        ("export", ["to=peft"], ["run is not set; give run=<value> on the command line"]),
        ("export", ["run=nowhere", "to=peft"], ["nowhere is not a folder"]),
        ("export", ["run=nowhere", "to=onnx"], ["to=onnx must be one of peft, merged, base"]),
        ("export", ["run=x", "to=merged", "dtype=int8"], ["dtype=int8 must be one of float32, float16"]),
        ("export", ["run=x", "to=peft", "dtype=float16"], ["dtype=float16 means nothing to to=peft"]),
        ("export", ["run=x", "to=peft", "samples=0"], ["samples=0 must be a whole number of at least 1"]),
        ("ask", ["image=null", "question=red"], ["run is not set; give run=<value> on the command line"]),
        ("ask", ["run=nowhere", "question=it's, red"], ["image is not set; give image="]),
        ("convert", ["out=x"], ["from is not set; give from=<value> on the command line"]),
        ("convert", ["from=nowhere", "out=x"], ["nowhere does not exist; give an adapter file"]),
    ],
)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(verb, overrides, words, tmp_path):
    done = call(verb, *overrides, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_is_shown_on_request(tmp_path):
    done = call("plan", "output=xml", cwd=tmp_path, VL_DORA_TRACEBACK="1")
    assert done.returncode == 1 and "Traceback" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_help_imports_nothing_heavy(verb, tmp_path):
    code = f"""
import atexit, runpy, sys
heavy = ("torch", "lightning", "transformers")
atexit.register(lambda: sys.stderr.write(str([name for name in heavy if name in sys.modules])))
sys.argv[1:] = ["--help"]
runpy.run_module("vl_dora.{verb}", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert f"python -m vl_dora.{verb}" in done.stdout
    assert done.stderr.endswith("[]"), done.stderr


def test_plan_writes_only_json_to_standard_output(tmp_path):
    done = call("plan", "experiment=vqa", "output=json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and {"trainable", "total", "rows"} <= set(found)


def test_a_sweep_runs_every_combination_into_folders_of_its_own(small, tmp_path):
    overrides = [*small.overrides, "evaluate_before=false", "trainer.max_steps=3", "paths.run_dir=sweep"]
    done = call("train", "-m", *overrides, "adapter=lora,frozen", "seed=1,2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / "sweep" / str(n) / "results.json").read_text()) for n in range(4)]
    seen = [(results["adapter"], results["seed"]) for results in found]
    assert seen == [("lora", 1), ("lora", 2), ("frozen", 1), ("frozen", 2)]
    assert all(results["experiment"] == "vqa" for results in found)
    assert "-m vl_dora.train" in found[0]["command"]
    assert {path.name for path in tmp_path.iterdir()} == {"sweep"}


def test_a_run_without_a_named_folder_gets_one_by_experiment_and_time(small, tmp_path):
    done = call("train", *small.overrides, "adapter=frozen", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "runs" / "vqa").iterdir()
    assert (run_dir / "results.json").is_file()
    assert "hydra:" not in (run_dir / "config.yaml").read_text()
