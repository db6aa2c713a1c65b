"""Clips made here, every frame with a number of its own drawn as black and white bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

BITS = 8


def picture(number: int, width: int = 128, height: int = 96) -> np.ndarray:
    """(height, width, 3): eight vertical bars tell `number`, a red top-left corner tells what is up."""
    bars = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(bars, -(-width // BITS))[:width] * 200 + 25
    pixels = np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.uint8).copy()
    pixels[: height // 4, : width // 4] = (230, 20, 20)
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """The number that `picture` drew, read from the lower half."""
    height, width, _ = pixels.shape
    row = pixels[height // 2 : -height // 8].astype(float).mean(axis=(0, 2))
    step = -(-width // BITS)
    return sum(
        int(row[bit * step + step // 4 : bit * step + step - step // 4].mean() > 125) << bit
        for bit in range(BITS)
    )


@dataclass(frozen=True)
class Clip:
    """A clip made here, with what it holds.

    Args:
        path: the file.
        times: seconds of every frame.
    """

    path: Path
    times: list[float] = field(default_factory=list)


def write_clip(path: Path, codec: str, **arguments: Any) -> Clip:
    """Encodes a clip; arguments as of `encoded`.

    SVT-AV1 does it in a child process: where it may (as root), it gives the whole process that encodes,
    and all that this process starts later, the real-time priority 99; other processes then starve (seen
    with 4.1.0).
    """
    if codec != "libsvtav1" or sys.platform != "linux":
        return encoded(path, codec, **arguments)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as child:
        return child.submit(encoded, path, codec, **arguments).result()


def encoded(
    path: Path,
    codec: str,
    *,
    num_frames: int = 60,
    size: tuple[int, int] = (128, 96),
    pixel_format: str = "yuv420p",
    rate: int = 25,
    first: int = 0,
    gaps: Sequence[int] = (1,),
    tick: Fraction | None = None,
    options: dict[str, str] | None = None,
    turn: tuple[int, bool, bool] | None = None,
    draw: Callable[..., np.ndarray] = picture,
) -> Clip:
    """Encodes `num_frames` pictures; stamps start at `first` ticks and grow by `gaps` in turn."""
    tick = tick or Fraction(1, rate)
    stamps = [first]
    for number in range(1, num_frames):
        stamps.append(stamps[-1] + gaps[(number - 1) % len(gaps)])
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        stream.codec_context.time_base = tick
        stream.codec_context.thread_count = 1
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(draw(number, *size), "rgb24")
            frame.pts, frame.time_base = stamp, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Clip(path, [float(stamp * tick) for stamp in stamps])


B_FRAMES = {"bf": "3", "g": "12"}
AV1 = {"preset": "10", "crf": "20", "svtav1-params": "lp=1"}

# Every kind that must be read right: file name -> codec and arguments of write_clip.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "h264.mp4": ("libx264", {}),
    "h264_b_frames_from_5_s.mp4": ("libx264", {"options": B_FRAMES, "first": 125}),
    "h264_open_groups.mkv": ("libx264", {"options": {**B_FRAMES, "x264-params": "open-gop=1"}}),
    "h264_intra_refresh.mp4": ("libx264", {"options": {"x264-params": "intra-refresh=1:keyint=12"}}),
    "h264_10_bit.mp4": ("libx264", {"pixel_format": "yuv420p10le"}),
    "h264_grey.mp4": ("libx264", {"pixel_format": "gray"}),
    "h264_full_range.mp4": ("libx264", {"pixel_format": "yuvj420p"}),
    "h264_odd_444.mp4": ("libx264", {"pixel_format": "yuv444p", "size": (131, 97)}),
    "h264_variable.mkv": ("libx264", {"tick": Fraction(1, 1000), "gaps": (40, 80, 200, 33)}),
    "h264_variable.mp4": ("libx264", {"tick": Fraction(1, 1000), "gaps": (40, 80, 200, 33)}),
    "h264.ts": ("libx264", {"options": B_FRAMES}),
    "h264.flv": ("libx264", {"options": B_FRAMES}),
    "h264.avi": ("libx264", {"options": {"bf": "0"}}),
    "hevc.mp4": ("libx265", {"options": {"x265-params": "log-level=none:keyint=12"}}),
    "hevc.mkv": ("libx265", {"options": {"x265-params": "log-level=none:keyint=12:open-gop=1"}}),
    "vp9.webm": ("libvpx-vp9", {"options": {"cpu-used": "8", "g": "12"}}),
    "vp9_hidden_frames.webm": (
        "libvpx-vp9",
        {"options": {"cpu-used": "4", "auto-alt-ref": "1", "lag-in-frames": "16"}},
    ),
    "vp8.webm": ("libvpx", {"options": {"cpu-used": "4", "auto-alt-ref": "1", "lag-in-frames": "16"}}),
    "mpeg4.avi": ("mpeg4", {}),
    "mpeg4_b_frames.avi": ("mpeg4", {"options": {"bf": "2"}}),
    "mpeg4_b_frames.mp4": ("mpeg4", {"options": B_FRAMES}),
    "av1.mp4": ("libsvtav1", {"options": AV1}),
    "av1.mkv": ("libsvtav1", {"options": AV1}),
    "pictures.avi": ("mjpeg", {"pixel_format": "yuvj420p"}),
    "drawn.gif": ("gif", {"pixel_format": "rgb8", "rate": 10}),
}
DECORD_KINDS = [
    "h264.mp4",
    "h264_b_frames_from_5_s.mp4",
    "h264_open_groups.mkv",
    "h264_intra_refresh.mp4",
    "h264_full_range.mp4",
    "h264_grey.mp4",
    "h264_odd_444.mp4",
    "h264_variable.mkv",
    "h264_variable.mp4",
    "vp9.webm",
    "vp9_hidden_frames.webm",
    "mpeg4.avi",
    "mpeg4_b_frames.mp4",
]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clip]:
    """`clip(name)` makes the clip of that kind, once a session; skips where its encoder is missing."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, Clip] = {}

    def make(name: str) -> Clip:
        codec, arguments = KINDS[name]
        if name not in made:
            try:
                av.codec.Codec(codec, "w")
            except av.codec.codec.UnknownCodecError:
                pytest.skip(f"this build of PyAV has no encoder {codec}")
            made[name] = write_clip(folder / name, codec, **arguments)
        return made[name]

    return make
