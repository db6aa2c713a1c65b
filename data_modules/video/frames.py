"""`sample_frames`: frames of a clip by time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data_modules.video import decord_reader, pyav_reader
from data_modules.video.error import VideoError
from data_modules.video.instants import Choice, choose
from data_modules.video.survey import Survey, rescan, survey
from data_modules.video.upright import fitted

DECODERS = ("auto", "decord", "pyav")
# Of decoded frames in one call: 8 minutes of 320 x 240 at 25 frames a second.
MAX_BYTES = 3 * 2**30


@dataclass(frozen=True)
class SampledFrames:
    """Frames of one clip in display order, each once.

    Args:
        frames: (n, height, width, 3) uint8; red, green, blue; upright.
        times: (n,) float64, presentation times in seconds on the file's clock, which need not
            start at 0.
        indices: (n,) int64, positions in display order among all frames of the file.
        requested: how many instants were asked for; more than n where the clip has fewer frames
            than that, or several instants fell on one frame. Padding is the caller's business.
        decoder: decord or pyav, which gave the frames.
    """

    frames: np.ndarray
    times: np.ndarray
    indices: np.ndarray
    requested: int
    decoder: str


def sample_frames(
    path: Path | str,
    *,
    count: int | None = None,
    fps: float | None = None,
    decoder: str = "auto",
    start: float | None = None,
    end: float | None = None,
    size: int | None = None,
) -> SampledFrames:
    """The frames on the screen at chosen instants.

    Either way the clip is taken to run from its first frame's time to the end of its last, or from
    `start` to `end`. A frame is on the screen from its own time to that of the next, so that clips
    of variable rate are sampled by time, not by position.

    Args:
        path: a video file.
        count: the clip is cut into so many equal spans, and the frame at the middle of each taken;
            a clip of at most so many frames is given whole.
        fps: instants a second, the first at the start of the clip. Without `count` and `fps` every
            frame is given.
        decoder: "pyav"; "decord" (an error where decord is known to be wrong); "auto": PyAV, which
            notices damage and seeks when few frames of many are wanted, and decord when most frames
            are wanted of a file that is known to be sound and of a kind that decord reads right.
        start: seconds on the file's clock; None: the first frame.
        end: seconds on the file's clock; None: the end. What lies behind the clip's end is ignored.
        size: height and width to resize to while decoding (bicubic), in pixels; None: as stored.

    Raises:
        VideoError: the clip cannot be used as asked: missing, no video, damaged anywhere that was
            read, cut short, larger than the limits, or nothing between `start` and `end`.
        ValueError: an argument outside what is allowed.
    """
    _require_arguments(count, fps, decoder, start, end, size)
    path = Path(path).expanduser()
    found = survey(path)
    try:
        return _sampled(found, count, fps, decoder, start, end, size)
    except pyav_reader.SurveyMismatch:
        rescan(found)
    try:
        return _sampled(found, count, fps, decoder, start, end, size)
    except pyav_reader.SurveyMismatch as error:
        raise VideoError.of(path, f"decodes otherwise from one time to the next ({error})") from None


def _sampled(
    found: Survey,
    count: int | None,
    fps: float | None,
    decoder: str,
    start: float | None,
    end: float | None,
    size: int | None,
) -> SampledFrames:
    try:
        choice = choose(found.stamps, found.end, found.time_base, count=count, fps=fps, start=start, stop=end)
    except ValueError as error:
        raise VideoError.of(found.path, str(error)) from None
    _require_room(found, choice, size)
    fit = partial(fitted, size=size)
    frames, used = _read(found, choice.indices, decoder, fit)
    if len({frame.shape for frame in frames}) > 1:
        raise VideoError.of(found.path, "changes its picture size on the way")
    return SampledFrames(
        frames=np.stack(frames),
        times=np.array([found.seconds(found.stamps[i]) for i in choice.indices]),
        indices=np.array(choice.indices, dtype=np.int64),
        requested=choice.requested,
        decoder=used,
    )


def _read(found: Survey, indices: list[int], decoder: str, fit) -> tuple[list[np.ndarray], str]:  # noqa: ANN001
    if decoder == "decord":
        pyav_reader.verify(found)
        problem = decord_reader.objection(found)
        frames = None if problem else decord_reader.read(found, indices, fit)
        if frames is None:
            problem = problem or "decord sees other frame times than the file has"
            raise VideoError.of(found.path, f"is not for decord: {problem}; use decoder auto or pyav")
        return frames, "decord"
    sound = found.clean and decoder == "auto" and decord_reader.objection(found) is None
    if sound and decord_reader.is_worth(indices):
        frames = decord_reader.read(found, indices, fit)
        if frames is not None:
            return frames, "decord"
    return pyav_reader.read(found, indices, fit), "pyav"


def _require_arguments(
    count: int | None,
    fps: float | None,
    decoder: str,
    start: float | None,
    end: float | None,
    size: int | None,
) -> None:
    if decoder not in DECODERS:
        raise ValueError(f"decoder={decoder!r} must be one of {', '.join(DECODERS)} (data.video.decoder)")
    if count is not None and fps is not None:
        raise ValueError(
            f"count={count} and fps={fps} exclude each other; give one (data.video.frames, data.video.fps)"
        )
    for name, value, key in (("count", count, "data.video.frames"), ("size", size, "model.image_size")):
        if value is not None and (isinstance(value, bool) or int(value) != value or value < 1):
            raise ValueError(f"{name}={value} must be a whole number of at least 1 ({key})")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps={fps} must be a number above 0 (data.video.fps)")
    for name, second in (("start", start), ("end", end)):
        if second is not None and not math.isfinite(second):
            raise ValueError(f"{name}={second} must be a number of seconds")


def _require_room(found: Survey, choice: Choice, size: int | None) -> None:
    width, height = (size, size) if size else (found.width, found.height)
    num_bytes = len(choice.indices) * width * height * 3
    if num_bytes > MAX_BYTES:
        raise VideoError.of(
            found.path,
            f"would give {len(choice.indices):,} frames of {width} x {height}, {num_bytes / 2**30:.1f} GiB; "
            f"at most {MAX_BYTES // 2**30} are allowed (data.video.frames, data.video.fps)",
        )
