"""The log of a run is one file, however many processes wrote it."""

from __future__ import annotations

import pytest

from vl_dora.metrics_log import METRICS, MetricsLog, keep_rows_before, read_rows
from vl_dora.reports.curve import read_metrics


@pytest.fixture
def log(tmp_path):
    log = MetricsLog(tmp_path)
    for step in range(4):
        log.log_metrics({"train/loss": 1.0 / (step + 1), "epoch": 0}, step)
    return log


def test_a_row_is_on_the_disk_when_it_is_logged(log):
    assert read_metrics(log.path) == {"train/loss": ([0, 1, 2, 3], [1.0, 0.5, 1 / 3, 0.25])}


def test_a_column_that_comes_later_is_empty_before(log):
    log.log_metrics({"val/accuracy": 50.0}, 3)
    log.log_metrics({"train/loss": 0.1}, 4)
    assert log.path.read_text().splitlines() == [
        "step,train/loss,val/accuracy",
        "0,1.0,",
        "1,0.5,",
        "2,0.3333333333333333,",
        "3,0.25,",
        "3,,50.0",
        "4,0.1,",
    ]
    assert [path.name for path in log.path.parent.iterdir()] == [METRICS]


def test_a_process_that_goes_on_keeps_the_rows_before_its_checkpoint(log):
    whole = log.path.read_text()
    with log.path.open("a") as file:
        file.write("4,0.")  # cut off by a kill
    keep_rows_before(log.path, 2)
    assert [row["step"] for row in read_rows(log.path)[1]] == ["0", "1"]
    later = MetricsLog(log.path.parent)
    for step in (2, 3):
        later.log_metrics({"train/loss": 1.0 / (step + 1)}, step)
    assert log.path.read_text() == whole


def test_a_run_that_begins_anew_keeps_nothing(log):
    keep_rows_before(log.path, 0)
    assert read_rows(log.path) == (["step", "train/loss"], [])
