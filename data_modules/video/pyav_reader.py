"""Decoding by PyAV: from the first frame to the last, or by seeking to the key frames before each wanted one.

Every decoded stamp is compared with the survey, so that a file whose packets do not tell its frames
is noticed, and so is a seek that lands elsewhere.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from data_modules.video.error import VideoError
from data_modules.video.survey import Survey, opened, require_sound
from data_modules.video.upright import as_rgb, display_matrix

log = logging.getLogger(__name__)

# What a seek costs beside the frames it decodes, in frames: emptying the decoder, filling it again.
SEEK_COST = 16


class SurveyMismatch(Exception):
    """Decoded frames are not those that the packets promised."""


def is_dense(survey: Survey, indices: Sequence[int]) -> bool:
    """Whether going through the whole file is no more work than seeking."""
    if survey.from_decoding or not survey.keyframes:
        return True
    parts = _parts(survey, indices)
    return sum(part[-1] - first + 1 + SEEK_COST for first, part in parts) >= len(survey.stamps)


def read(survey: Survey, indices: Sequence[int], fit: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    """The frames at `indices` (strictly rising), each passed through `fit` as it is decoded.

    Raises:
        VideoError: damage.
        SurveyMismatch: the stamps of the survey are not those of the frames.
    """
    if not is_dense(survey, indices):
        try:
            return _by_seeking(survey, indices, fit)
        except (SurveyMismatch, VideoError) as error:
            # Reading everything tells a file that does not allow seeking from a damaged one.
            log.debug("reading all of %s: %s", survey.path, error)
    return _in_sequence(survey, indices, fit)


def _in_sequence(
    survey: Survey, indices: Sequence[int], fit: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """Decodes all there is: a fault behind the last wanted frame is found too."""
    wanted, taken, position = set(indices), [], 0
    with opened(survey.path) as (container, stream):
        for frame in container.decode(stream):
            require_sound(survey, frame, position)
            if position >= len(survey.stamps) or frame.pts != survey.stamps[position]:
                raise SurveyMismatch(f"frame {position} has stamp {frame.pts}")
            if position in wanted:
                taken.append(fit(_pixels(survey, frame)))
            position += 1
    if position != len(survey.stamps):
        raise SurveyMismatch(f"{position} frames instead of {len(survey.stamps)}")
    survey.clean = True
    return taken


def verify(survey: Survey) -> None:
    """Decodes all frames and keeps none.

    Raises:
        VideoError: damage.
        SurveyMismatch: the stamps of the survey are not those of the frames.
    """
    if not survey.clean:
        first = _in_sequence(survey, [0], lambda pixels: pixels)
        assert len(first) == 1


def _parts(survey: Survey, indices: Sequence[int]) -> list[tuple[int, list[int]]]:
    """(index of a key frame, the wanted frames between it and the next key frame)."""
    starts = [bisect_right(survey.stamps, stamp) - 1 for stamp, _ in survey.keyframes]
    parts: list[tuple[int, list[int]]] = []
    for index in indices:
        first = starts[max(0, bisect_right(starts, index) - 1)]
        if parts and parts[-1][0] == first:
            parts[-1][1].append(index)
        else:
            parts.append((first, [index]))
    return parts


def _by_seeking(
    survey: Survey, indices: Sequence[int], fit: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    taken: list[np.ndarray] = []
    decoding = dict(survey.keyframes)
    with opened(survey.path) as (container, stream):
        for first, part in _parts(survey, indices):
            stamp = survey.stamps[first]
            if stamp not in decoding:
                raise SurveyMismatch("no key frame before a wanted frame")
            container.seek(min(stamp, decoding[stamp]), stream=stream, backward=True)
            taken += _from_here(survey, container, stream, first, part, fit)
    return taken


def _from_here(survey, container, stream, first, part, fit) -> list[np.ndarray]:  # noqa: ANN001
    """Wanted frames of one part; decoding starts at the key frame `first`, or at one before it."""
    taken, position, wanted = [], None, set(part)
    start: int | None = None
    for packet in container.demux(stream):
        if start is None and packet.size:
            if not packet.is_keyframe or packet.pts is None or packet.pts > survey.stamps[first]:
                raise SurveyMismatch("a seek did not land on a key frame")
            start = packet.pts
        for frame in packet.decode():
            if start is None or frame.pts is None or frame.pts < start:
                continue  # shown before the key frame: these lean on frames that were not decoded
            if position is None:
                position = bisect_right(survey.stamps, start) - 1
            require_sound(survey, frame, position)
            if position >= len(survey.stamps) or frame.pts != survey.stamps[position]:
                raise SurveyMismatch(f"frame {position} has stamp {frame.pts}")
            if position in wanted:
                taken.append(fit(_pixels(survey, frame)))
            if position == part[-1]:
                return taken
            position += 1
    raise SurveyMismatch(f"the stream ends before frame {part[-1]}")


def _pixels(survey: Survey, frame) -> np.ndarray:  # noqa: ANN001
    try:
        pixels = as_rgb(frame)
        survey.turned = display_matrix(frame) != (1, 0, 0, 1)
    except ValueError as error:
        raise VideoError.of(survey.path, str(error)) from None
    return pixels
