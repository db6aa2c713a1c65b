"""Amounts of memory as people write and read them."""

from __future__ import annotations

import re

UNITS = {
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


def parsed(option: str, given: object) -> int:
    """Bytes of an amount such as 24GB (24 * 10^9) or 80GiB (80 * 2^30).

    Args:
        option: name of the option, for the message.
        given: what was written.

    Raises:
        ValueError: it is not a number above 0 with one of `UNITS`.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", given) if isinstance(given, str) else None
    if match is None or match[2] not in UNITS or float(match[1]) == 0:
        raise ValueError(
            f"{option}={given} must be a number above 0 with a unit, {', '.join(UNITS)}; for instance 24GB"
        )
    return int(float(match[1]) * UNITS[match[2]])


def shown(size: float) -> str:
    """Bytes in GiB, three digits or more: 13.2 GiB, 0.0042 GiB."""
    gib = size / 2**30
    if gib == 0:
        return "0 GiB"
    places = 2 if abs(gib) < 10 else 1
    return f"{gib:.{places}f} GiB" if abs(gib) >= 0.1 else f"{gib:.4f} GiB"
