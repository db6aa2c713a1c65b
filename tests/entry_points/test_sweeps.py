"""Sweeps go on with the trials that are missing, whichever way they are searched."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import OmegaConf

from vl_dora.entry_point import explain
from vl_dora.lightning_modules.adapter_tuning import AdapterTuning


class Killed(BaseException):
    """What nothing catches, as a kill."""


@pytest.fixture
def sweep(small, monkeypatch, tmp_path):
    """sweep(*overrides) runs a sweep in this process; its folder is tmp_path / "sweep"."""
    from vl_dora.train import main

    def run(*overrides: str) -> None:
        words = ["train", "-m", *small.overrides, f"paths.run_dir={tmp_path / 'sweep'}", *overrides]
        monkeypatch.setattr(sys, "argv", [*words, "evaluate_before=false"])
        try:
            main()
        finally:
            HydraConfig.instance().cfg = None  # this process, unlike a sweep's, goes on

    return run


def killed_after(monkeypatch, steps: int) -> None:
    """The next training step but so many is the last one."""
    step, seen = AdapterTuning.training_step, []

    def counted(self, *args):
        seen.append(1)
        if len(seen) > steps:
            raise Killed
        return step(self, *args)

    monkeypatch.setattr(AdapterTuning, "training_step", counted)


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_a_sweep_that_was_cut_off_goes_on_with_the_trials_that_are_missing(
    sweep, train, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        killed_after(patched, 4 + 3)
        with pytest.raises(Killed):
            sweep("seed=1,2,3", "trainer.val_check_interval=4")
    done = (tmp_path / "sweep" / "0" / "results.json").stat().st_mtime_ns
    assert (tmp_path / "sweep" / "1" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "sweep" / "2").exists()
    with monkeypatch.context() as patched:
        killed_after(patched, 2 + 4)  # what trial 1 lacks, and trial 2
        sweep("seed=1,2,3", "trainer.val_check_interval=4")
    assert (tmp_path / "sweep" / "0" / "results.json").stat().st_mtime_ns == done
    train(tmp_path / "alone", "seed=2", "trainer.val_check_interval=4", "evaluate_before=false")
    one, alone = results(tmp_path / "sweep" / "1"), results(tmp_path / "alone")
    for name in ("scores", "objective", "data_order", "samples_seen", "steps"):
        assert one[name] == alone[name]
    assert results(tmp_path / "sweep" / "2")["seed"] == 3
    with pytest.raises(SystemExit):
        sweep("seed=1,2,3", "trainer.val_check_interval=2")
    assert results(tmp_path / "sweep" / "0")["seed"] == 1


def test_a_trial_that_failed_before_it_began_is_tried_again(sweep, tmp_path, capsys):
    for _ in range(2):
        with pytest.raises(SystemExit):
            sweep("optim.lr=0,1e-3", "trainer.max_steps=2", "movement_check_step=null")
        said = capsys.readouterr().err
        assert "error: 1 job of the sweep failed; the first: optim.lr=0 must be greater than 0" in said
    assert not (tmp_path / "sweep" / "0" / "results.json").exists()
    assert results(tmp_path / "sweep" / "1")["steps"] == 2


def test_nothing_of_a_trial_is_left_open_for_the_next(sweep, tmp_path):
    sweep("seed=1", "data.num_workers=1")
    me = psutil.Process()
    threads, files = threading.active_count(), len(me.open_files())
    sweep("seed=2,3", "data.num_workers=1", f"hydra.sweep.dir={tmp_path / 'other'}")
    assert not me.children(recursive=True)
    assert (threading.active_count(), len(me.open_files())) == (threads, files)


SEARCH = ["hydra/sweeper=optuna_current", "hydra.sweeper.n_trials=4", "optim.lr=tag(log,interval(1e-4,1e-2))"]
SEARCH += ["adapter=lora,magnitude", "hydra.sweeper.sampler.n_startup_trials=2"]


def trials(folder: Path) -> list[dict]:
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_search_that_was_cut_off_goes_on_and_ends_with_the_best(sweep, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    with monkeypatch.context() as patched:
        killed_after(patched, 2 * 4 + 3)
        with pytest.raises(Killed):
            sweep(*SEARCH, "hydra.sweeper.pruner=null")
    folder = tmp_path / "sweep"
    settings = OmegaConf.load(folder / "2" / "config.yaml")
    with monkeypatch.context() as patched:
        killed_after(patched, 2 + 4)
        sweep(*SEARCH, "hydra.sweeper.pruner=null")
    found = trials(folder)
    assert [trial["state"] for trial in found] == ["complete"] * 4
    assert len({trial["optim.lr"] for trial in found}) == 4
    for number, trial in enumerate(found):
        assert float(trial["value"]) == results(folder / str(number))["objective"]["value"]
        config = OmegaConf.load(folder / str(number) / "config.yaml")
        assert config.optim.lr == float(trial["optim.lr"]) and 1e-4 <= config.optim.lr <= 1e-2
    assert OmegaConf.load(folder / "2" / "config.yaml").optim.lr == settings.optim.lr
    best = OmegaConf.load(folder / "best.yaml")
    assert best.objective == max(float(trial["value"]) for trial in found)
    assert best.settings["adapter"] == found[best.trial]["adapter"]
    with pytest.raises(SystemExit):
        sweep(*SEARCH, "hydra.sweeper.pruner=null", "optim.lr=interval(1e-4,1e-2)")


def test_a_trial_without_prospects_is_stopped_and_not_done_again(sweep, tmp_path, capsys):
    pytest.importorskip("optuna")
    few = ["hydra.sweeper.n_trials=1", "optim.lr=interval(1e-4,1e-2)", "hydra/sweeper=optuna_current"]
    few += ["hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner", "+hydra.sweeper.pruner.lower=101"]
    few += ["~hydra.sweeper.pruner.n_startup_trials"]
    sweep(*few)
    trial = tmp_path / "sweep" / "0"
    failure = json.loads((trial / "failed.json").read_text())
    assert failure["kind"] == "pruned" and failure["objective"]["step"] == 2
    assert trials(trial.parent)[0]["state"] == "pruned" and not (trial / "results.json").exists()
    before = (trial / "failed.json").stat().st_mtime_ns
    sweep(*few)
    assert (trial / "failed.json").stat().st_mtime_ns == before


def test_a_search_without_choices_is_refused(sweep, capsys):
    pytest.importorskip("optuna")
    with pytest.raises(SystemExit):
        sweep("hydra/sweeper=optuna_current", "seed=1")
    assert "has nothing to search; give choices such as" in capsys.readouterr().err


def test_an_extra_that_is_not_installed_is_named(sweep, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit):
        sweep(*SEARCH)
    assert "error: hydra/sweeper=optuna_current needs Optuna; install it by pip" in capsys.readouterr().err
    text = "Could not find 'hydra/launcher/submitit_slurm' Available options in 'hydra/launcher': basic"
    found = explain(HydraException(text), "train")
    assert found.endswith("needs a plugin; install it by pip install 'vl-dora[submitit]'")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_other_launchers_run_the_same_trials(small, tmp_path, launcher):
    plugin = launcher.partition("_")[0]
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    words = [*small.overrides, "evaluate_before=false", "paths.run_dir=sweep", f"hydra/launcher={launcher}"]
    words += ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    # The second trial has nothing to learn from, and fails; the first is none the worse for it.
    done = subprocess.run(
        [sys.executable, "-m", "vl_dora.train", "-m", *words, "seed=1", "optim.lr=1e-3,0"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    jobs = [path.read_text()[-2000:] for path in sorted(tmp_path.rglob("*_log.*"))]  # of submitit
    told = "\n".join([done.stderr[-3000:], *jobs])
    assert done.returncode == 1 and results(tmp_path / "sweep" / "0")["steps"] == 4, told
    assert (tmp_path / "sweep" / "1" / "failed.json").is_file(), told
    failure = json.loads((tmp_path / "sweep" / "1" / "failed.json").read_text())
    assert failure["error"].startswith("optim.lr=0 must be greater than 0")
    assert done.stderr.strip().splitlines()[-1].startswith("error: "), done.stderr[-3000:]
    assert "optim.lr=0 must be greater than 0" in done.stderr.strip().splitlines()[-1]
