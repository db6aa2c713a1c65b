"""Clips as pictures: which frames a run sees, and how a clip is named where its features are stored."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vl_dora.batch import ClipRef

DECODERS = ("auto", "decord", "pyav")


@dataclass(frozen=True)
class ClipSettings:
    """The config group `data.video`.

    Args:
        decoder: auto, decord or pyav; see `data_modules.video.sample_frames`.
        frames: of a clip, at the middles of equal spans; None where `fps` is given.
        fps: frames a second, as many as the clip has; None where `frames` is given.

    Raises:
        ValueError: an option outside what is allowed, naming its config key.
    """

    decoder: str = "auto"
    frames: int | None = 8
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise ValueError(f"data.video.decoder={self.decoder!r} must be one of {', '.join(DECODERS)}")
        if (self.frames is None) == (self.fps is None):
            raise ValueError(
                f"data.video.frames={self.frames} and data.video.fps={self.fps}: give one, the other null"
            )
        frames = self.frames
        if frames is not None and (isinstance(frames, bool) or not isinstance(frames, int) or frames < 1):
            raise ValueError(f"data.video.frames={frames} must be a whole number of at least 1, or null")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"data.video.fps={self.fps} must be a number above 0, or null")

    def settled(self, ref: ClipRef) -> ClipRef:
        """The clip with a count or a rate: its own, or that of the settings."""
        if ref.count is not None or ref.fps is not None:
            return ref
        return replace(ref, count=self.frames, fps=self.fps)


def clip_key(ref: ClipRef) -> str:
    """What names a settled clip where features are stored, for instance `clips/7.mp4#frames=8`."""
    key = ref.path
    if ref.start is not None or ref.end is not None:
        ends = ("" if second is None else f"{second:g}" for second in (ref.start, ref.end))
        key += "#part=" + "-".join(ends)
    return key + (f"#frames={ref.count}" if ref.count is not None else f"#fps={ref.fps:g}")


def load_clip(root: Path, ref: ClipRef, size: int | None, decoder: str) -> tuple[ClipRef, np.ndarray]:
    """The clip with the indices and times of its frames, and their pixels.

    Args:
        root: the folder that `ref.path` is relative to.
        ref: settled.
        size: height and width in pixels; None keeps the size.
        decoder: auto, decord or pyav.

    Returns:
        The reference, filled in, and (n, 3, height, width) uint8; n is smaller than the count where
        the clip is shorter.

    Raises:
        VideoError: the file cannot be used.
    """
    from data_modules.video import sample_frames  # FFmpeg is loaded only where clips are read

    found = sample_frames(
        root / ref.path,
        count=ref.count,
        fps=ref.fps,
        decoder=decoder,
        start=ref.start,
        end=ref.end,
        size=size,
    )
    shown = replace(ref, indices=tuple(found.indices.tolist()), times=tuple(found.times.tolist()))
    return shown, np.ascontiguousarray(found.frames.transpose(0, 3, 1, 2))


def reread_clip(root: Path, ref: ClipRef, settings: ClipSettings) -> tuple[np.ndarray, tuple[float, ...]]:
    """The frames of a clip as they are in the file, and their times, for people to look at.

    Args:
        root: the folder that `ref.path` is relative to.
        ref: where its `indices` are known, those frames; else as many as the settings say.
        settings: decoder, frames and fps.

    Returns:
        (n, height, width, 3) uint8 in red, green, blue, and n seconds.

    Raises:
        VideoError: the file cannot be used, or has other frames than those that were shown.
    """
    from data_modules.video import VideoError, sample_frames

    asked, path = settings.settled(ref), root / ref.path
    found = sample_frames(
        path,
        count=asked.count,
        fps=asked.fps,
        decoder=settings.decoder,
        start=asked.start,
        end=asked.end,
    )
    if ref.indices is not None and found.indices.tolist() != list(ref.indices):
        raise VideoError.of(path, "has other frames now than those that were shown")
    return found.frames, tuple(found.times.tolist())
