"""A prompt that is too long loses what it can spare, and nothing else: of subtitles, whole lines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

from vl_dora.batch import Example


def shortened(example: Example, num_tokens: Callable[[str], int], limit: int) -> Example:
    """The example without as many of its `spare` parts, in their order, as it takes to fit.

    Args:
        example: its other characters all stay.
        num_tokens: of a prompt, special tokens included.
        limit: tokens allowed.

    Returns:
        The example itself where it fits; without any spare part where even that is too long.
    """
    if num_tokens(example.prompt) <= limit:
        return example
    # Lines end at spaces, where no token begins before and ends behind, so that fewer lines are fewer tokens.
    everything = len(example.spare)
    num = bisect_left(range(everything), True, key=lambda n: num_tokens(without(example, n).prompt) <= limit)
    return without(example, num)


def without(example: Example, num: int) -> Example:
    """The example without the first `num` of its spare parts."""
    gone = sorted(example.spare[:num])
    kept, place = [], 0
    for start, end in gone:
        kept.append(example.prompt[place:start])
        place = end
    prompt = "".join([*kept, example.prompt[place:]])
    spare = tuple((_moved(start, gone), _moved(end, gone)) for start, end in example.spare[num:])
    return replace(example, prompt=prompt, spare=spare)


def _moved(place: int, gone: list[tuple[int, int]]) -> int:
    """Where the character at `place` is once the parts before it are gone."""
    return place - sum(end - start for start, end in gone if end <= place)
