"""What a video file holds: its best stream and the time stamp of every frame.

The packets of the file are gone through without decoding (about 4 ms for 400 frames), which also
shows whether the file is all there. Where packets do not tell the frames for sure (no time stamps,
doubled ones, a codec with hidden frames), the file is decoded once instead.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from data_modules.video.error import VideoError
from data_modules.visuals import MAX_PIXELS

# Longer than any film; a larger claim is damage or an attack.
MAX_SECONDS = 24 * 3600
# Demuxers of files with time stamps. Others of FFmpeg draw text, follow play lists or open addresses.
CONTAINERS = "mov,matroska,avi,flv,mpegts,mpeg,gif,asf,ogg,mxf,nut,ivf"
# One packet, one frame, save under faults of a file, which the readers notice.
TRUSTED = ("h264", "hevc", "vp9", "av1", "mpeg4", "gif", "mjpeg", "ffv1", "prores")
# Containers whose header states the duration; others let FFmpeg estimate it.
STATES_DURATION = ("matroska,webm", "flv")
# `err_detect`: without it damage is painted over; HEVC's decoder does not even flag that.
DECODER_OPTIONS = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}


@dataclass
class Survey:
    """One file, as far as it is known.

    Args:
        path: the file.
        codec: name of the codec, for instance h264.
        pixel_format: as stored, for instance yuv420p10le.
        container: FFmpeg's name of the format.
        time_base: seconds a tick.
        stamps: time stamp of every frame in ticks, strictly rising.
        end: when the last frame leaves the screen, ticks.
        keyframes: (time stamp, decoding stamp) of every packet that decoding can start at, rising.
        num_video_streams: cover pictures not counted.
        width: in pixels, as stored.
        height: in pixels, as stored.

    Attributes:
        from_decoding: `stamps` are those of decoded frames, not of packets.
        clean: the whole stream was decoded without a fault.
        turned: the file asks for its frames to be turned or mirrored; known once decoded.
    """

    path: Path
    codec: str
    pixel_format: str
    container: str
    time_base: Fraction
    stamps: list[int]
    end: int
    keyframes: list[tuple[int, int]]
    num_video_streams: int
    width: int
    height: int
    from_decoding: bool = False
    clean: bool = False
    turned: bool = False

    def seconds(self, stamp: int) -> float:
        """A time stamp in seconds."""
        return float(stamp * self.time_base)


def survey(path: Path) -> Survey:
    """The survey of a file; kept for the files last asked for, made anew when a file changes.

    Raises:
        VideoError: the file is missing, no video, damaged, or claims more than the limits.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise VideoError.of(path, "is missing") from None
    except (OSError, ValueError) as error:
        raise VideoError.of(path, f"cannot be reached: {error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise VideoError.of(path, "is not a file")
    if found.st_size == 0:
        raise VideoError.of(path, "is empty (zero bytes)")
    return _survey(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=256)
def _survey(path: Path, modified: int, size: int) -> Survey:
    with opened(path) as (container, stream):
        return _from_packets(path, container, stream)


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its best video stream, one decoding thread; every fault becomes a VideoError."""
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        container = av.open(f"file:{path.absolute()}", options=options)
    except (av.error.FFmpegError, OSError, ValueError, UnicodeError) as error:
        reason = "is not a video file that can be opened, or its header is damaged or missing"
        raise VideoError.of(path, f"{reason} ({_words(error)})") from None
    try:
        with container:
            stream = _best_stream(path, container)
            stream.codec_context.thread_count = 1
            stream.codec_context.options = DECODER_OPTIONS
            yield container, stream
    except VideoError:
        raise
    except (av.error.FFmpegError, EOFError, UnicodeError) as error:
        raise VideoError.of(path, f"is damaged or cut short: {_words(error)}") from None


def _best_stream(path: Path, container: InputContainer) -> VideoStream:
    """The stream that a player shows: FFmpeg's choice, never a cover picture."""
    moving = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not moving:
        raise VideoError.of(path, "has no video stream")
    best = container.streams.best("video")
    stream = next((s for s in moving if best is not None and s.index == best.index), moving[0])
    context: Any = stream.codec_context
    if context is None:
        raise VideoError.of(path, "has a video stream of a codec that is not known here")
    if context.width * context.height > MAX_PIXELS:
        size = f"{context.width} x {context.height}"
        raise VideoError.of(path, f"claims frames of {size}; at most {MAX_PIXELS:,} pixels are allowed")
    if container.duration is not None and container.duration / av.time_base > MAX_SECONDS:
        hours = container.duration / av.time_base / 3600
        raise VideoError.of(
            path, f"claims to last {hours:,.0f} hours; at most {MAX_SECONDS // 3600} are allowed"
        )
    return stream


def _from_packets(path: Path, container: InputContainer, stream: VideoStream) -> Survey:
    context: Any = stream.codec_context
    assert stream.time_base is not None
    times: list[tuple[int, int]] = []  # (time stamp, duration)
    keyframes: list[tuple[int, int]] = []
    num_packets, untimed, end_of_all = 0, False, 0.0
    for packet in container.demux():
        if packet.dts is None and packet.size == 0:
            continue  # the end of a stream
        if packet.pts is not None and packet.time_base:
            end_of_all = max(end_of_all, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != stream.index:
            continue
        num_packets += 1
        if packet.is_corrupt:
            raise VideoError.of(path, f"is damaged or cut short at its packet {num_packets}")
        if packet.is_discard or packet.size == 0:
            continue
        if packet.pts is None:
            untimed = True
            continue
        times.append((packet.pts, packet.duration or 0))
        if packet.is_keyframe:
            keyframes.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
    _require_all(path, container, stream, num_packets, end_of_all)
    times.sort()
    found = Survey(
        path=path,
        codec=context.codec.canonical_name,
        pixel_format=context.pix_fmt or "unknown",
        container=container.format.name,
        time_base=stream.time_base,
        stamps=[stamp for stamp, _ in times],
        end=times[-1][0] + (times[-1][1] or _usual_gap(times, stream)) if times else 0,
        keyframes=sorted(keyframes),
        num_video_streams=len(container.streams.video),
        width=context.width,
        height=context.height,
    )
    doubled = any(a == b for a, b in pairwise(found.stamps))
    if untimed or doubled or not times or found.codec not in TRUSTED:
        rescan(found)
    if found.seconds(found.end - found.stamps[0]) > MAX_SECONDS:
        raise VideoError.of(path, f"runs for more than {MAX_SECONDS // 3600} hours, which is not allowed")
    return found


def _require_all(
    path: Path, container: InputContainer, stream: VideoStream, num_packets: int, end_of_all: float
) -> None:
    """Raises VideoError when the file holds less than its header says."""
    if container.format.name in ("mov,mp4,m4a,3gp,3g2,mj2",) and num_packets < stream.frames:
        raise VideoError.of(
            path, f"is cut short: its header promises {stream.frames} frames, it holds {num_packets}"
        )
    promised = 0.0
    if container.format.name in STATES_DURATION and container.duration is not None:
        promised = container.duration / av.time_base
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        promised = float(stream.frames / stream.average_rate)
    # Half a second: writers differ in whether the last frame's or sound's own length counts.
    if end_of_all < promised - 0.5:
        raise VideoError.of(
            path, f"is cut short: its header promises {promised:.1f} seconds, it holds {end_of_all:.1f}"
        )


def _usual_gap(times: list[tuple[int, int]], stream: VideoStream) -> int:
    """How long the last frame stays, ticks, where its packet does not say: as long as the one before."""
    if len(times) > 1:
        return max(1, times[-1][0] - times[-2][0])
    rate, base = stream.average_rate, stream.time_base
    return max(1, round(1 / (rate * base))) if rate and base else 1


def rescan(found: Survey) -> None:
    """Replaces the stamps of packets by those of the frames that decoding gives.

    Raises:
        VideoError: frames without stamps, or stamps that do not rise, or damage.
    """
    stamps: list[int] = []
    durations: list[int] = []
    with opened(found.path) as (container, stream):
        for frame in container.decode(stream):
            require_sound(found, frame, len(stamps))
            if frame.pts is None:
                raise VideoError.of(found.path, f"has no time stamp at frame {len(stamps)}")
            stamps.append(frame.pts)
            durations.append(frame.duration or 0)
        if not stamps:
            raise VideoError.of(found.path, "has no frame that can be decoded")
        gap = durations[-1] or _usual_gap([(s, 0) for s in stamps], stream)
    if not np.all(np.diff(stamps) > 0):
        raise VideoError.of(found.path, "has time stamps that do not rise from frame to frame")
    found.stamps, found.end, found.from_decoding = stamps, stamps[-1] + gap, True


def require_sound(found: Survey, frame: VideoFrame, index: int) -> None:
    """Raises VideoError for a frame that the decoder had to mend."""
    if frame.is_corrupt:
        when = "" if frame.pts is None else f" ({found.seconds(frame.pts):.2f} s)"
        raise VideoError.of(found.path, f"is damaged at frame {index}{when}")


def _words(error: BaseException) -> str:
    """What FFmpeg calls an error, without numbers and file names."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0].rstrip(".")
