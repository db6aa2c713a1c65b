"""Decoding by decord, for the files that it reads right; frame by frame from the first one on.

Measured with decord 0.6.0: random access and skipping give wrong frames silently for HEVC, for
MPEG-4 and H.264 with B-frames in some files, for open groups of pictures, intra refresh, FLV and
MPEG-TS; `next()` alone is right for all but the last. It paints over damage without a word, so a
file must have been decoded without a fault before (`Survey.clean`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from data_modules.video.error import VideoError
from data_modules.video.survey import Survey

CODECS = ("h264", "vp9", "mpeg4")
CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")
PIXEL_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p")


def objection(survey: Survey) -> str | None:
    """Why decord must not read this file; None when it may. Complete once the file is decoded."""
    if find_spec("decord") is None:
        return "decord is not installed (it has wheels for x86-64 Linux and Windows only)"
    checks = {
        f"codec {survey.codec}": survey.codec in CODECS,
        f"container {survey.container}": survey.container in CONTAINERS,
        f"pixel format {survey.pixel_format}": survey.pixel_format in PIXEL_FORMATS,
        "turned frames": not survey.turned,
        "several video streams": survey.num_video_streams == 1,
        "packets that do not tell the frames": not survey.from_decoding,
    }
    return next(
        (f"decord is not to be trusted with {what}" for what, fine in checks.items() if not fine), None
    )


def is_worth(indices: Sequence[int]) -> bool:
    """Whether most frames are wanted: decord brings every one that it passes to RGB."""
    return 2 * len(indices) > indices[-1]


def read(
    survey: Survey, indices: Sequence[int], fit: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray] | None:
    """The frames at `indices` (strictly rising); None when decord sees other times than the survey.

    Raises:
        VideoError: decord fails.
    """
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    reader = None
    try:
        reader = decord.VideoReader(str(survey.path), num_threads=1)
        if not _same_times(reader, survey):
            return None
        wanted, taken = set(indices), []
        for index in range(indices[-1] + 1):
            frame = reader.next()
            if index in wanted:
                taken.append(fit(frame.asnumpy()))
    except (decord.DECORDError, RuntimeError, StopIteration) as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise VideoError.of(survey.path, f"cannot be read by decord: {words}") from None
    finally:
        del reader  # else an error's traceback holds it and its threads
    return taken


def _same_times(reader: Any, survey: Survey) -> bool:
    """Whether decord's table of frames is the survey's; its clock starts at the first frame."""
    if len(reader) != len(survey.stamps):
        return False
    seen = np.asarray(reader.get_frame_timestamp(np.arange(len(reader))))[:, 0].astype(np.float64)
    stamps = np.asarray(survey.stamps, dtype=np.float64)
    expected = (stamps - stamps[0]) * float(survey.time_base)
    shortest = np.diff(expected).min() if len(expected) > 1 else 1.0
    return bool(np.abs(seen - seen[0] - expected).max() < min(0.002, shortest / 2))
