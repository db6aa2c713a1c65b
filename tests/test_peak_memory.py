"""The peak of one run is not that of the run before it in the same process."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from vl_dora.peak_memory import peak_memory, start_anew

BLOCK = 200  # MiB


def process_peak() -> float:
    found = peak_memory()["process"]
    assert found is not None
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")
def test_a_run_does_not_inherit_the_peak_of_the_one_before():
    start_anew()
    before = process_peak()
    block = np.ones(BLOCK * 2**17)  # float64
    held = process_peak()
    assert BLOCK - 1 < held - before < BLOCK + 20
    del block
    assert abs(process_peak() - held) < 2  # given back, but it was there
    start_anew()
    assert process_peak() < held - BLOCK + 20
