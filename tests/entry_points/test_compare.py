"""A sweep in which a trial fails, its comparison, and the page in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import hydra
import pytest

from vl_dora.compare import compare
from vl_dora.run_directory import FAILURE


@pytest.fixture(scope="module")
def sweep(small, tmp_path_factory):
    """Two adapters, one of them with a rank that no layer has, on two seeds, as a user types it."""
    folder = tmp_path_factory.mktemp("compare") / "sweep"
    command = [sys.executable, "-m", "vl_dora.train", "-m", *small.overrides, f"paths.run_dir={folder}"]
    choices = ["adapter=lora,dora", "adapter.language.rank=4,999", "seed=1,2", "evaluate_before=false"]
    done = subprocess.run([*command, *choices], capture_output=True, text=True)
    return folder, done


def compared(*overrides: str):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return compare(hydra.compose("compare", list(overrides)))


def test_a_sweep_goes_on_after_a_trial_that_failed(sweep) -> None:
    folder, done = sweep
    assert done.returncode == 1
    assert "error: 4 jobs of the sweep failed; the first: adapter.language.rank=999" in done.stderr
    assert "Traceback" not in done.stderr
    finished = sorted(path.parent.name for path in folder.glob("*/results.json"))
    failed = sorted(path.parent.name for path in folder.glob(f"*/{FAILURE}"))
    assert len(finished) == len(failed) == 4
    assert not set(finished) & set(failed)


def test_runs_of_one_seed_saw_the_same_samples(sweep) -> None:
    results = [json.loads(path.read_text()) for path in sweep[0].glob("*/results.json")]
    orders = {seed: {r["data_order"] for r in results if r["seed"] == seed} for seed in (1, 2)}
    assert all(len(order) == 1 for order in orders.values())
    assert orders[1] != orders[2]
    assert {r["samples_seen"] for r in results} == {32}


def test_the_comparison_has_methods_pairs_and_failures(sweep, tmp_path) -> None:
    out = compared(f"runs={sweep[0]}", f"out={tmp_path / 'out'}")
    text = (out / "comparison.md").read_text()
    assert "| lora rank=4 | 2 |" in text
    assert "must be a whole number in 1..32" in text
    names = {path.name for path in out.iterdir()}
    assert {"comparison.html", "comparison.csv", "comparison.md", "score-against-share.svg"} <= names
    page = (out / "comparison.html").read_text()
    assert "https://" not in page.replace("https://matplotlib.org", "")


def test_equal_terms_can_be_demanded(sweep, train, tmp_path) -> None:
    train(tmp_path / "longer", "adapter=full", "evaluate_before=false", "trainer.max_steps=5")
    both = f"runs=[{sweep[0]},{tmp_path / 'longer'}]"
    with pytest.raises(ValueError, match="not on equal terms: .*different numbers of steps"):
        compared(both, "equal_terms=true", f"out={tmp_path / 'out'}")
    assert "not on equal terms" in (compared(both, f"out={tmp_path / 'out'}") / "comparison.html").read_text()


def test_bad_options_are_refused(sweep, tmp_path) -> None:
    with pytest.raises(ValueError, match="samples=-1"):
        compared(f"runs={sweep[0]}", "samples=-1")
    with pytest.raises(ValueError, match="curve=nothing was not logged; there are"):
        compared(f"runs={sweep[0]}", "curve=nothing", f"out={tmp_path / 'out'}")
    with pytest.raises(FileNotFoundError, match="no run directory"):
        compared(f"runs={tmp_path}")


def test_the_failure_is_forgotten_when_the_run_succeeds(train, small, tmp_path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="objective=val/nothing"):
        train(run, "adapter=lora", "evaluate_before=false", "objective=val/nothing")
    assert "val/nothing" in json.loads((run / FAILURE).read_text())["error"]
    shutil.rmtree(run)
    train(run, "adapter=lora", "evaluate_before=false")
    assert not (run / FAILURE).exists()


def test_a_finished_run_is_not_marked_by_a_second_one_in_its_directory(train, tmp_path) -> None:
    run = tmp_path / "run"
    train(run, "adapter=lora", "evaluate_before=false")
    with pytest.raises(ValueError, match="holds a run already"):
        train(run, "adapter=lora", "evaluate_before=false")
    assert not (run / FAILURE).exists()
