"""Which frames lie on the screen at the instants asked for; whole-number arithmetic throughout.

A frame is on the screen from its own time stamp to that of the next. Times are counted in ticks of
the stream's time base, so that no rounding moves an instant to the frame before.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

# Containers that count in milliseconds round a time stamp by up to half of one.
ROUNDING = Fraction(1, 2000)
MAX_INSTANTS = 1_000_000


@dataclass(frozen=True)
class Choice:
    """The frames chosen.

    Args:
        indices: strictly rising positions in display order.
        requested: how many instants were asked for; more than frames where several fell on one.
    """

    indices: list[int]
    requested: int


def choose(
    stamps: Sequence[int],
    end: int,
    time_base: Fraction,
    *,
    count: int | None = None,
    fps: float | None = None,
    start: float | None = None,
    stop: float | None = None,
) -> Choice:
    """The frames on the screen at `count` middles of equal spans, or every 1 / `fps` seconds.

    Every frame is given once, also where several instants fall on it. A `count` of at least as many
    as there are frames gives all of them; so does giving neither `count` nor `fps`.

    Args:
        stamps: time stamps in ticks, strictly rising.
        end: when the last frame leaves the screen, ticks.
        time_base: seconds a tick.
        count: number of spans; above 0.
        fps: instants a second from the first one on; above 0.
        start: leave out what is before, seconds on the file's clock; None: from the first frame on.
        stop: leave out what is from here on, seconds on the file's clock; None: to the end.

    Raises:
        ValueError: nothing is on the screen between `start` and `stop`, or there are more than
            `MAX_INSTANTS` instants; the message completes a sentence that begins with the file.
    """
    low, high = Fraction(stamps[0]), Fraction(end)
    if start is not None:
        low = max(low, _exact(start) / time_base)
    if stop is not None:
        high = min(high, _exact(stop) / time_base)
    if low >= high:
        first, last = float(stamps[0] * time_base), float(end * time_base)
        raise ValueError(
            f"shows nothing between start={start} and end={stop} seconds; it runs from {first:g} to {last:g}"
        )
    first_frame = bisect_right(stamps, floor(low + _slack(time_base))) - 1
    behind = bisect_left(stamps, ceil(high))
    frames = max(behind - first_frame, 1)
    if fps is not None:
        step = 1 / (_rate(fps) * time_base)
        requested = max(1, ceil((high - low) / step))
        if requested > MAX_INSTANTS:
            raise ValueError(f"has {requested:,} instants at fps={fps}; at most {MAX_INSTANTS:,} are allowed")
        slack = _slack(time_base)
        instants = (floor(low + k * step + slack) for k in range(requested))
    elif count is not None and count < frames:
        requested = count
        width = high - low
        instants = (floor(low + (2 * k + 1) * width / (2 * count)) for k in range(count))
    else:
        return Choice(list(range(first_frame, first_frame + frames)), frames if count is None else count)
    on_screen = (
        min(max(bisect_right(stamps, t) - 1, first_frame), first_frame + frames - 1) for t in instants
    )
    return Choice(list(dict.fromkeys(on_screen)), requested)


def _exact(value: float) -> Fraction:
    """The decimal number that was written: 29.97 is 2997/100."""
    return Fraction(str(value))


def _rate(fps: float) -> Fraction:
    """The ratio that was meant: 23.976023976 is 24000/1001, 29.97 is 2997/100."""
    near = Fraction(fps).limit_denominator(100_000)
    return near if abs(near - Fraction(fps)) < Fraction(fps) / 10**9 else _exact(fps)


def _slack(time_base: Fraction) -> Fraction:
    """How far a time stamp may lie behind its true time, ticks."""
    return min(Fraction(1, 2), ROUNDING / time_base)
