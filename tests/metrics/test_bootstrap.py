"""The bootstrap interval against theory, and against a plain loop."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vl_dora.metrics.bootstrap import mean_interval


def test_approaches_the_normal_interval_of_a_large_sample():
    values = np.random.default_rng(0).normal(50, 10, size=2000)
    half = 1.959964 * values.std() / np.sqrt(len(values))
    assert mean_interval(values, seed=1) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.05
    )


def test_approaches_the_normal_interval_of_right_and_wrong():
    values = [100.0] * 1200 + [0.0] * 800
    half = 1.959964 * 100 * np.sqrt(0.6 * 0.4 / 2000)
    assert mean_interval(values, seed=1) == pytest.approx((60 - half, 60 + half), abs=0.15)


def test_agrees_with_a_plain_loop_over_clusters():
    rng = np.random.default_rng(2)
    clusters = rng.integers(40, size=300)
    values = rng.random(300) + clusters / 10
    groups = [values[clusters == c] for c in np.unique(clusters)]
    means = []
    for _ in range(4000):
        drawn = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        means.append(drawn.mean())
    low, high = mean_interval(values, clusters.tolist(), seed=3)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.06)


def test_clusters_of_equal_samples_widen_the_interval_by_the_root_of_their_size():
    values = np.repeat(np.random.default_rng(4).random(500), 9)
    clusters = np.repeat(np.arange(500), 9)
    plain = np.subtract(*mean_interval(values))
    clustered = np.subtract(*mean_interval(values, clusters.tolist()))
    assert clustered / plain == pytest.approx(3, rel=0.05)


def test_clusters_of_one_sample_change_nothing():
    values = np.random.default_rng(5).random(200)
    assert mean_interval(values, list(range(200))) == mean_interval(values)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(6).random(200)
    assert mean_interval(values, seed=7) == mean_interval(values, seed=7) != mean_interval(values, seed=8)


def test_a_wider_level_gives_a_wider_interval():
    values = np.random.default_rng(9).random(100)
    (low, high), (lower, higher) = mean_interval(values, level=0.8), mean_interval(values, level=0.99)
    assert lower < low < values.mean() < high < higher


def test_equal_values_leave_no_interval():
    assert mean_interval([30.0] * 50) == (30.0, 30.0)
    assert mean_interval([30.0]) == (30.0, 30.0)


@pytest.mark.parametrize("kinds", [2, 6000])
def test_ten_thousand_resamples_of_six_thousand_samples_take_about_a_second(kinds):
    values = np.random.default_rng(10).permutation(np.arange(6000) % kinds)
    start = time.process_time()
    mean_interval(values, resamples=10_000)
    # 0.8 s were measured; the rest is room for a slow machine.
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "one or more numbers"),
        ([1.0, float("nan")], {}, "none NaN"),
        ([1.0, 2.0], {"clusters": ["a"]}, "2 values need as many clusters, got 1"),
        ([1.0], {"level": 1.0}, "level=1.0 must lie between 0 and 1"),
        ([1.0], {"resamples": 0}, "resamples=0 must be at least 1"),
    ],
)
def test_unfit_input_is_an_error(values, options, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, **options)
