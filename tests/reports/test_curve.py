"""The curve shows what the log holds, and is drawn without a display."""

from __future__ import annotations

import math
import random
import sys

import numpy as np
import pytest
from PIL import Image

from vl_dora.reports.curve import read_metrics, running_median, write_curve

HEAD = "epoch,lr-AdamW,step,train/loss,val/accuracy\n"


@pytest.fixture
def log(tmp_path):
    """A log as Lightning writes it: a row holds the loss, or the rate, or a score."""
    rng, lines = random.Random(0), [HEAD]
    for step in range(10, 610, 10):
        lines.append(f"0,{3e-3 * min(1, step / 60) * (1 - step / 700)},{step},,\n")
        lines.append(f"0,,{step},{2.5 * math.exp(-step / 150) + 0.1 + 0.1 * rng.random()},\n")
        if step % 150 == 0:
            lines.append(f"0,,{step},,{50 + 40 * step / 600}\n")
    path = tmp_path / "metrics.csv"
    path.write_text("".join(lines))
    return path


def test_reads_each_column_at_its_own_steps(log):
    series = read_metrics(log)
    assert series["val/accuracy"] == ([150, 300, 450, 600], [60, 70, 80, 90])
    assert len(series["train/loss"][0]) == len(series["lr-AdamW"][0]) == 60
    assert "epoch" not in series


def test_a_loss_that_is_not_a_number_is_left_out(tmp_path):
    (tmp_path / "metrics.csv").write_text(HEAD + "0,,1,nan,\n0,,2,1.5,\n0,,3,inf,\n")
    assert read_metrics(tmp_path / "metrics.csv") == {"train/loss": ([2], [1.5])}


def test_running_median_is_that_of_numpy():
    values = np.random.default_rng(0).normal(size=30).tolist()
    expected = [np.median(values[max(0, i - 2) : i + 3]) for i in range(30)]
    np.testing.assert_allclose(running_median(values, 5), expected)


def test_draws_a_picture_with_the_score_in_it(log, tmp_path):
    had_pyplot = "matplotlib.pyplot" in sys.modules
    write_curve(log, tmp_path / "curve.png", title="vqa, DoRA")
    with_score = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB"))
    assert with_score.shape[0] > 700 and with_score.shape[1] > 900
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith(",\n")]
    log.write_text(HEAD + "".join(lines))
    write_curve(log, tmp_path / "without.png", title="vqa, DoRA")
    without_score = np.asarray(Image.open(tmp_path / "without.png").convert("RGB"))
    assert without_score.shape[0] < with_score.shape[0], "a panel without values is left out"
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot, "pyplot would ask for a display"


def test_a_log_without_any_of_the_columns_is_an_error(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,other\n1,2\n")
    with pytest.raises(ValueError, match="train/loss"):
        write_curve(tmp_path / "metrics.csv", tmp_path / "curve.png", title="")
    (tmp_path / "metrics.csv").write_text("epoch,other\n1,2\n")
    with pytest.raises(ValueError, match="no column 'step'"):
        write_curve(tmp_path / "metrics.csv", tmp_path / "curve.png", title="")
    assert not (tmp_path / "curve.png").exists()


def test_the_score_of_one_group_or_a_loss_is_no_score_of_its_own(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,val/question_type/count,val/loss\n1,50,2.0\n")
    with pytest.raises(ValueError, match="val/"):
        write_curve(tmp_path / "metrics.csv", tmp_path / "curve.png", title="")
