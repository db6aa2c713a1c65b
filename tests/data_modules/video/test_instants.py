"""Which frames an instant falls on, against the rule written out in fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest

from data_modules.video.instants import choose

STEADY = list(range(0, 1000, 40))  # 25 frames of 40 ms
MS = Fraction(1, 1000)


def test_one_frame_is_the_one_in_the_middle():
    assert choose(STEADY, 1000, MS, count=1).indices == [12]


def test_spans_that_end_between_frames_keep_their_middles():
    assert choose(STEADY, 1000, MS, count=4).indices == [3, 9, 15, 21]


def test_a_middle_that_meets_a_time_stamp_takes_that_frame():
    assert choose([0, 500], 1000, MS, count=1).indices == [1]


@pytest.mark.parametrize("count", [25, 26, 1000])
def test_a_count_of_at_least_all_gives_all_once(count):
    choice = choose(STEADY, 1000, MS, count=count)
    assert choice.indices == list(range(25)) and choice.requested == count


def test_a_frame_that_stays_long_is_given_once():
    choice = choose([0, 10, 20, 900], 1000, MS, count=3)
    assert choice.indices == [2] and choice.requested == 3


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60)])
def test_stamps_rounded_to_milliseconds_lose_no_frame_at_the_file_s_rate(rate):
    stamps = [round(k * 1000 / rate) for k in range(500)]
    choice = choose(stamps, round(500 * 1000 / rate), MS, fps=float(rate))
    assert choice.indices == list(range(500))


def test_stamps_in_whole_frames_are_not_rounded_to_the_next():
    assert choose(list(range(10)), 10, Fraction(1, 25), fps=50).indices == list(range(10))
    assert choose(list(range(10)), 10, Fraction(1, 25), fps=40).indices == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert choose([0, 1], 2, Fraction(1), fps=4, stop=0.99).indices == [0]


def test_a_rate_begins_at_the_start_of_the_part():
    choice = choose(STEADY, 1000, MS, fps=10, start=0.5, stop=0.8)
    assert choice.indices == [12, 15, 17] and choice.requested == 3


def test_a_part_begins_with_the_frame_that_is_still_on_the_screen():
    assert choose(STEADY, 1000, MS, start=0.05, stop=0.13).indices == [1, 2, 3]


@pytest.mark.parametrize(("start", "stop"), [(1.0, None), (None, 0.0), (0.5, 0.5), (0.6, 0.5)])
def test_nothing_between_start_and_stop_is_an_error(start, stop):
    with pytest.raises(ValueError, match="runs from 0 to 1"):
        choose(STEADY, 1000, MS, count=1, start=start, stop=stop)
