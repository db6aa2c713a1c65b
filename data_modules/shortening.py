"""A prompt that is too long loses what it can spare, and nothing else: of subtitles, whole lines."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

from vl_dora.batch import Example


def shortened(example: Example, num_tokens: Callable[[str], int], limit: int) -> Example:
    """The example without as many of its `spare` parts, in their order, as it takes to fit.

    Args:
        example: its other characters all stay.
        num_tokens: of a prompt, special tokens included.
        limit: tokens allowed.

    Returns:
        The example itself where it fits or has nothing to spare; without any spare part where even that is
        too long.
    """
    longest = num_tokens(example.prompt)
    if longest <= limit or not example.spare:
        return example
    shortest = num_tokens(_prompt_without(example, len(example.spare)))
    if shortest > limit:
        return without(example, len(example.spare))

    def fits(num: int) -> bool:
        return num_tokens(_prompt_without(example, num)) <= limit

    # Tokenizing is what costs: the share of characters tells nearly how many must go, a look or two the rest.
    gone = [0, *accumulate(end - start for start, end in example.spare)]
    num = bisect_left(gone, gone[-1] * (longest - limit) / (longest - shortest))
    while not fits(num):
        num += 1
    while num > 1 and fits(num - 1):
        num -= 1
    return without(example, num)


def without(example: Example, num: int) -> Example:
    """The example without the first `num` of its spare parts."""
    gone = sorted(example.spare[:num])
    starts = [start for start, _ in gone]
    before = [0, *accumulate(end - start for start, end in gone)]

    def moved(place: int) -> int:
        # What stays neither begins nor ends inside of what goes.
        return place - before[bisect_right(starts, place - 1)]

    spare = tuple((moved(start), moved(end)) for start, end in example.spare[num:])
    return replace(example, prompt=_prompt_without(example, num), spare=spare)


def _prompt_without(example: Example, num: int) -> str:
    kept, place = [], 0
    for start, end in sorted(example.spare[:num]):
        kept.append(example.prompt[place:start])
        place = end
    return "".join([*kept, example.prompt[place:]])
