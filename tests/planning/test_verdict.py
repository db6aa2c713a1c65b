"""Whether a step fits, and the smaller batch that would."""

from __future__ import annotations

import pytest

from vl_dora.planning.verdict import Change, Verdict, changes, largest_batch

GIB = 2**30


@pytest.mark.parametrize(
    "peak_of",
    [
        lambda n: 100 + 10 * n,
        lambda n: 100 + 10 * n + (50 if n > 12 else 0),  # other kernels for more tokens
        lambda n: 100 + 10 * n + (0 if n > 12 else 3 * n),
        lambda n: max(180, 90 + 12 * n),
    ],
)
@pytest.mark.parametrize("memory", [185, 230, 300, 420])
def test_a_smaller_batch_fits_and_is_found_in_few_steps(peak_of, memory):
    tried: list[int] = []

    def measured(number: int) -> int:
        tried.append(number)
        return peak_of(number)

    samples = 64
    change = largest_batch(samples, memory, measured, peak_of(samples), still=90)
    number = int(change.options.removeprefix("data.batch_size="))
    assert change.peak == peak_of(number) <= memory and number < samples
    best = max(n for n in range(1, samples) if peak_of(n) <= memory)
    assert number >= 0.75 * best
    assert len(tried) <= 5


def test_on_a_line_the_largest_batch_is_found_exactly():
    tried: list[int] = []

    def measured(number: int) -> int:
        tried.append(number)
        return 100 + 10 * number

    assert largest_batch(64, 299, measured, 740, still=100) == Change("data.batch_size=19", 290)
    assert tried == [19, 20]


def test_where_one_sample_is_too_much_no_batch_is_named():
    assert largest_batch(64, 105, lambda n: 100 + 10 * n, 740, still=100) is None
    assert largest_batch(1, 105, lambda n: 110, 110, still=100) is None


def test_where_what_every_batch_needs_is_too_much_none_is_tried():
    def measured(number: int) -> int:
        raise AssertionError(number)

    assert largest_batch(64, 99, measured, 740, still=100) is None


def test_only_changes_that_fit_are_kept():
    assert changes([("a=1", 10), ("b=1", 30)], 20) == (Change("a=1", 10),)


def test_the_sentence_says_what_is_needed_and_what_helps():
    fits = Verdict(24 * GIB, 12 * GIB, own=GIB // 2).sentence("24GiB")
    assert fits == "fits device_memory=24GiB: 12.0 GiB of 24.0 GiB (of which 0.50 GiB are CUDA's own), 50 %"
    helped = (Change("x=true", 20 * GIB), Change("data.batch_size=2", 23 * GIB))
    assert Verdict(24 * GIB, 30 * GIB, helped).sentence("24GiB") == (
        "does not fit device_memory=24GiB: 30.0 GiB of 24.0 GiB are needed; it fits with x=true (20.0 GiB), "
        "or data.batch_size=2 (23.0 GiB)"
    )
    assert "take a smaller model" in Verdict(GIB, 2 * GIB).sentence("1GiB")
