"""Drawn clips as real video files: H.264 in MP4, as cameras and platforms write them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from data_modules.scenes.clip import BEATS, SIDE, Clip

FRAMES_A_BEAT = 5
# Seconds a beat; frame rates of 4, 5 and 6.25 a second follow.
PACES = (Fraction(5, 4), Fraction(1), Fraction(4, 5))


def seconds(beat: float, pace: Fraction) -> float:
    """When a beat starts, in seconds from the start of the clip, to two places."""
    return round(float(beat * pace), 2)


def write_clip(path: Path, clip: Clip, pace: Fraction) -> None:
    """Writes 40 frames of 144 x 144 pixels.

    Args:
        path: ends in .mp4; its folder is made when missing.
        clip: what is drawn.
        pace: seconds a beat, one of `PACES`.
    """
    import av  # FFmpeg is loaded only where clips are written or read

    path.parent.mkdir(parents=True, exist_ok=True)
    rate = FRAMES_A_BEAT / pace
    with av.open(str(path), "w") as container:
        # One thread: the same bytes whatever the machine's number of cores.
        stream: Any = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for pixels in clip.draw(BEATS * FRAMES_A_BEAT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes JSON lines; the folder is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
