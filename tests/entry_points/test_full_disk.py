"""A full or read-only disk ends in one sentence; what was saved before is whole, and goes on."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vl_dora.lightning_modules.checkpoint_files import PlainCheckpointIO

LONG = [
    "trainer.max_steps=6",
    "checkpoint.every_n_steps=2",
    "evaluate_before=false",
    "optim.schedule=constant",
]


@pytest.fixture
def smaller_files():
    """smaller_files(bytes): from then on no file may grow beyond, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_that_does_not_fit_leaves_nothing(tmp_path, smaller_files):
    smaller_files(50_000)
    with pytest.raises(ValueError, match="last.ckpt.tmp could not be written: File too large"):
        PlainCheckpointIO().save_checkpoint({"weights": torch.zeros(40_000)}, tmp_path / "last.ckpt.tmp")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_earlier_checkpoint_and_the_run_goes_on(
    train, tmp_path, smaller_files, monkeypatch
):
    train(tmp_path / "whole", *LONG)
    save, room = PlainCheckpointIO.save_checkpoint, []

    def saved(self, checkpoint, path, storage_options=None):
        if checkpoint["global_step"] == 4:
            room.append(smaller_files(100_000))
        save(self, checkpoint, path, storage_options)

    with monkeypatch.context() as patched:
        patched.setattr(PlainCheckpointIO, "save_checkpoint", saved)
        with pytest.raises(ValueError) as caught:
            train(tmp_path / "cut", *LONG)
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    assert str(caught.value) == (
        f"{last}.tmp could not be written: File too large; {last} is whole and holds step 2: put the disk "
        f"right and go on by paths.run_dir={tmp_path / 'cut'} ckpt_path=last"
    )
    assert room and json.loads((tmp_path / "cut" / "failed.json").read_text())["error"] == str(caught.value)
    smaller_files(resource.RLIM_INFINITY)
    train(tmp_path / "cut", *LONG, "ckpt_path=last")
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "cut")
    ]
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
    logs = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert not (tmp_path / "cut" / "failed.json").exists()


def test_a_run_directory_that_cannot_be_written_is_refused_before_anything_is_read(train, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != Path("/") and access(path, mode))
    with pytest.raises(ValueError, match=r"paths.run_dir=/nowhere/run cannot be written: / is read-only"):
        train(Path("/nowhere/run"))


MOUNTED = """
set -e
mount -t tmpfs -o size=600k tmpfs "$1"
cd "$2"
shift 2
exec "$@"
"""


@pytest.mark.slow
def test_a_small_disk_ends_in_one_line_with_the_checkpoint_whole(small, tmp_path):
    """A real full disk: a mounted one of 600 kB, in a process of its own."""
    disk, keep = tmp_path / "disk", tmp_path / "keep"
    disk.mkdir()
    words = [sys.executable, "-m", "vl_dora.train", *small.overrides, *LONG[1:], "trainer.max_steps=60"]
    words += [f"paths.run_dir={disk / 'run'}", "adapter.language.rank=8", "trainer.log_every_n_steps=1"]
    keeping = f'"$@" 2>&1; status=$?; cp -r {disk}/run {keep}; exit $status'
    try:
        done = subprocess.run(
            ["unshare", "-m", "bash", "-c", MOUNTED, "mounted", str(disk), str(tmp_path)]
            + ["bash", "-c", keeping, "keeping", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except FileNotFoundError:
        pytest.skip("needs unshare, which is not here")
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"needs the right to mount a disk: {done.stderr.strip()}")
    assert done.returncode == 1, done.stdout[-3000:]
    error = done.stdout.strip().splitlines()[-1]
    assert error.startswith("error: ") and "No space left on device" in error, done.stdout[-3000:]
    last = keep / "checkpoints" / "last.ckpt"
    if last.exists():
        step = torch.load(last, weights_only=True)["global_step"]
        assert f"is whole and holds step {step}" in error
    else:
        assert "no checkpoint was saved before" in error
