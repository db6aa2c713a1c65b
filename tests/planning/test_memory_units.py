"""Amounts of memory: what is read, what is refused, what is shown."""

from __future__ import annotations

import pytest

from vl_dora.planning.memory_units import parsed, shown


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("24GB", 24 * 10**9),
        ("80GiB", 80 * 2**30),
        ("1.5 TB", 15 * 10**11),
        ("512MB", 512 * 10**6),
        (" 8 MiB ", 8 * 2**20),
    ],
)
def test_an_amount_is_read_with_its_unit(given, size):
    assert parsed("device_memory", given) == size


@pytest.mark.parametrize(
    "given", ["24", 24, "24gb", "24G", "-24GB", "0GB", "GB", "24 GB of it", "1e3GB", True, []]
)
def test_nonsense_is_refused_in_one_sentence(given):
    with pytest.raises(ValueError, match=r"^device_memory=.* must be a number above 0 with a unit, MB, GB"):
        parsed("device_memory", given)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 GiB"), (2**30, "1.00 GiB"), (25 * 2**30, "25.0 GiB"), (2**20, "0.0010 GiB"), (2**29, "0.50 GiB")],
)
def test_sizes_are_shown_in_gib(size, text):
    assert shown(size) == text
