"""Decoding in loader workers and threads: the same frames, no hang, memory that stays flat."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from data_modules.video import VideoError, sample_frames

from .conftest import number_of

NAMES = ["h264.mp4", "h264_b_frames_from_5_s.mp4", "hevc.mp4", "vp9.webm", "mpeg4_b_frames.mp4", "av1.mkv"]
WISHES = [{"count": 3}, {}, {"fps": 5.0}, {"count": 45, "size": 64}]
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


class Decodes(Dataset):
    """`num` decodes of a few files in turn: (worker, its resident MiB, whether the numbers are right)."""

    def __init__(self, paths: list[Path], num: int) -> None:
        self.paths, self.num = paths, num

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, index: int) -> tuple[int, float, bool]:
        path = self.paths[index % len(self.paths)]
        try:
            found = sample_frames(path, **WISHES[index // len(self.paths) % len(WISHES)])
            right = [number_of(frame) for frame in found.frames] == found.indices.tolist()
        except VideoError:
            right = path.name.startswith("damaged")
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20
        return os.getpid(), resident, right


@pytest.fixture
def paths(clip, tmp_path) -> list[Path]:
    """Six kinds of sound files, and a damaged one."""
    found = [clip(name).path for name in NAMES]
    raw = found[0].read_bytes()
    (tmp_path / "damaged.mp4").write_bytes(raw[: len(raw) // 2])
    return [*found, tmp_path / "damaged.mp4"]


def tell_where_it_hangs(_: int) -> None:
    """The worker's stack on standard error before the loader gives up."""
    faulthandler.dump_traceback_later(100)


def run(paths: list[Path], num: int) -> dict[int, list[float]]:
    """Resident MiB by worker, in order."""
    loader = DataLoader(
        Decodes(paths, num), batch_size=None, num_workers=2, timeout=120, worker_init_fn=tell_where_it_hangs
    )
    seen: dict[int, list[float]] = {}
    for worker, resident, right in loader:
        assert right
        seen.setdefault(int(worker), []).append(float(resident))
    return seen


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_workers_decode_after_the_parent_did(paths):
    for path in paths[:-1]:
        for _ in range(2):
            sample_frames(path)  # the second by decord where it may be used
    seen = run(paths, 60)
    assert len(seen) == 2 and os.getpid() not in seen


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="a platform without policies of scheduling")
def test_clips_are_made_and_read_without_real_time_priority(paths):
    for path in paths[:-1]:
        sample_frames(path)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.skipif(find_spec("decord") is None, reason="decord is not installed")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_a_worker_survives_a_reader_that_its_parent_lost(clip):
    from decord import VideoReader

    gc.collect()
    gc.disable()  # the child is to find the garbage, not this process
    try:
        lost = [VideoReader(str(clip("h264.mp4").path), num_threads=1)]
        lost[0].next()
        lost.append(lost)
        del lost
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            # A new thread takes the memory of the parent's, which a reader would then join.
            Thread(target=time.sleep, args=(60,), daemon=True).start()
            gc.collect()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        gc.enable()
        gc.collect()


# A hook sets off a collection right after the fork, as filelock's did once, when a frame whose scaler has
# threads lies in a cycle.
COLLECTS_AFTER_FORK = """
import gc, os, signal
os.register_at_fork(after_in_child=lambda: signal.alarm(30))
os.register_at_fork(after_in_child=lambda: [[] for _ in range(100000)])
import av, numpy
import data_modules.video
gc.disable()
lost = [av.VideoFrame.from_ndarray(numpy.zeros((720, 1280, 3), numpy.uint8), "rgb24")]
lost[0].reformat(format="yuv420p", threads=4)
lost.append(lost)
del lost
gc.enable()
child = os.fork()
if child == 0:
    gc.collect()
    os._exit(0 if gc.isenabled() else 1)
assert gc.isenabled()
raise SystemExit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
def test_a_worker_survives_a_collection_right_after_the_fork():
    done = subprocess.run([sys.executable, "-c", COLLECTS_AFTER_FORK], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_reading_frames_leaves_no_threads(clip):
    before = set(os.listdir("/proc/self/task"))
    for _ in range(2):
        sample_frames(clip("h264_10_bit.mp4").path)
        sample_frames(clip("h264.mp4").path)
    assert set(os.listdir("/proc/self/task")) <= before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_memory_is_flat_over_two_thousand_decodes(paths):
    for resident in run(paths, 2_000).values():
        assert len(resident) == 1_000
        early, late = max(resident[150:300]), max(resident[-150:])
        assert late < early + 8, f"grew from {early:.0f} to {late:.0f} MiB"


def test_threads_that_decode_at_once_do_not_meet(clip):
    path = clip("h264_b_frames_from_5_s.mp4").path
    expected = [sample_frames(path, **wish).frames for wish in WISHES for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(sample_frames, path, **wish) for _ in range(5) for wish in WISHES for _ in range(2)
        ]
        for job, frames in zip(jobs, expected * 5, strict=True):
            np.testing.assert_array_equal(job.result(timeout=60).frames, frames)
