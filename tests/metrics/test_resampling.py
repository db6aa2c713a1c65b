"""Intervals and the paired test against closed forms and each other."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from vl_dora.metrics.resampling import intervals, intervals_of, paired_differences
from vl_dora.metrics.statistic import Scaled, Scored, Sums, Together, at_once, groups, means, ratio


def scored(values, clusters=None, name="accuracy"):
    statistic = means({name: values})
    return Scored(
        at_once(statistic, len(values)),
        "0 to 1",
        statistic,
        list(range(len(values))) if clusters is None else clusters,
    )


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    rng = np.random.default_rng(0)
    values = list(rng.normal(3.0, 2.0, size=2000))
    low, high = intervals(scored(values), resamples=4000)["accuracy"]
    half = 1.96 * np.std(values) / math.sqrt(2000)
    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=0.01)


def test_the_interval_agrees_with_a_plain_loop_over_clusters_of_unequal_size():
    rng = np.random.default_rng(1)
    clusters = rng.integers(40, size=300)
    values = rng.random(300) + clusters / 10
    members = [values[clusters == name] for name in np.unique(clusters)]
    means_of_draws = []
    for _ in range(4000):
        drawn = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        means_of_draws.append(drawn.mean())
    found = intervals(scored(values.tolist(), clusters.tolist()), resamples=4000)["accuracy"]
    assert found == pytest.approx(tuple(np.quantile(means_of_draws, [0.025, 0.975])), abs=0.06)


def test_clusters_of_equal_items_widen_the_interval_by_the_root_of_their_size():
    values = np.repeat(np.random.default_rng(4).random(500), 9).tolist()
    alone = intervals(scored(values))["accuracy"]
    joined = intervals(scored(values, np.repeat(np.arange(500), 9).tolist()))["accuracy"]
    assert (joined[1] - joined[0]) / (alone[1] - alone[0]) == pytest.approx(3, rel=0.1)


def test_a_wider_level_gives_a_wider_interval():
    values = scored(np.random.default_rng(9).random(100).tolist())
    (low, high), (lower, higher) = (intervals(values, level=level)["accuracy"] for level in (0.8, 0.99))
    assert lower < low < values.scores["accuracy"] < high < higher


def test_equal_values_leave_no_interval():
    assert intervals(scored([30.0] * 50))["accuracy"] == (30.0, 30.0)
    assert intervals(scored([30.0]))["accuracy"] == (30.0, 30.0)


def test_scores_of_no_items_have_no_interval():
    with pytest.raises(ValueError, match="no items"):
        intervals_of(means({"accuracy": []}), [])


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert intervals(scored(values), seed=3) == intervals(scored(values), seed=3)
    wide = scored(list(np.random.default_rng(0).random(50)))
    assert intervals(wide, seed=3) != intervals(wide, seed=4)


def test_the_paired_test_agrees_with_all_swaps_counted_out():
    first, second = [0.0, 0.2, 0.1, 0.5, 0.3, 0.9], [0.4, 0.5, 0.0, 0.9, 0.8, 1.0]
    steps = np.array(second) - np.array(first)
    seen = abs(steps.mean())
    signs = np.array(list(product([1, -1], repeat=6)))
    exact = np.mean(np.abs((signs * steps).mean(axis=1)) >= seen - 1e-12)
    found = paired_differences(scored(first), scored(second), resamples=20_000)["accuracy"]
    assert found.difference == pytest.approx(steps.mean())
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert found.low < found.difference < found.high


def test_equal_predictions_differ_in_nothing():
    values = [0.0, 1.0, 1.0, 0.0]
    found = paired_differences(scored(values), scored(values))["accuracy"]
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_swapping_clusters_whole_finds_less_in_the_same_difference():
    first, second = [0.0] * 8, [1.0] * 8
    apart = paired_differences(scored(first), scored(second), resamples=5000)["accuracy"].p_value
    joined = paired_differences(
        scored(first, list("aaaabbbb")), scored(second, list("aaaabbbb")), resamples=5000
    )["accuracy"].p_value
    assert apart == pytest.approx(2 / 2**8, abs=0.005)
    assert joined == pytest.approx(0.5, abs=0.03)


def test_predictions_of_other_items_cannot_be_paired():
    with pytest.raises(ValueError, match="not of the same items"):
        paired_differences(scored([0.0, 1.0]), scored([0.0, 1.0, 1.0]))


@pytest.mark.parametrize("wrong", [{"level": 0.0}, {"level": 1.0}, {"resamples": 0}])
def test_wrong_settings_are_errors(wrong):
    with pytest.raises(ValueError, match="must"):
        intervals(scored([1.0, 0.0]), **wrong)


def test_a_score_that_a_resample_leaves_undefined_is_left_out_of_its_interval():
    statistic = means({"all": [1.0, 0.0, 1.0], "rare": [1.0, None, None]})
    found = intervals(Scored(at_once(statistic, 3), "0 to 1", statistic, [0, 1, 2]))
    assert found["rare"] == (1.0, 1.0)


def test_statistics_of_parts_and_other_units():
    parts = Together((means({"a": [0.0, 1.0]}), Scaled(means({"b": [1.0, 1.0]}), 100.0)))
    assert at_once(parts, 2) == {"a": 0.5, "b": 100.0}
    swapped = parts.beside(parts)(np.array([[1.0, 0.0, 0.0, 1.0]]))
    assert (swapped["a"][0], swapped["b"][0]) == (0.5, 100.0)


def test_sums_take_any_formula():
    statistic = Sums(np.array([[1.0, 2.0], [3.0, 2.0]]), lambda sums: {"r": ratio(sums[:, 0], sums[:, 1])})
    assert at_once(statistic, 2) == {"r": 1.0}
    assert math.isnan(statistic(np.zeros((1, 2)))["r"][0])


def test_groups_keep_the_order_of_first_appearance():
    assert groups(["b", "a", "b"], [1.0, 0.0, 0.0], scale=100.0) == {"b": 50.0, "a": 0.0}
