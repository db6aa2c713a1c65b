"""A decoded frame as 8-bit RGB, turned and mirrored as the file says.

FFmpeg's conversion is used: 10-bit and grey are brought to 8-bit RGB, the colour matrix and range
are those that the stream names (BT.601, limited, where it names none). Transparency is flattened on
white, as for pictures. Pixels that are not square stay as they are stored.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from PIL import Image

# FFmpeg's scaler would start a thread a core for every frame, in every loader worker.
ONE_THREAD = 1


def as_rgb(frame: VideoFrame) -> np.ndarray:
    """(height, width, 3) uint8, upright.

    Raises:
        ValueError: turned by something else than a multiple of 90 degrees.
    """
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba", threads=ONE_THREAD).astype(np.uint16)
        alpha = rgba[:, :, 3:]
        pixels = np.asarray((rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255, dtype=np.uint8)
    else:
        pixels = np.asarray(frame.to_ndarray(format="rgb24", threads=ONE_THREAD), dtype=np.uint8)
    return turned(pixels, display_matrix(frame))


def display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Signs (a, b, c, d) of x' = a x + c y, y' = b x + d y; (1, 0, 0, 1) where the file has none.

    Source: FFmpeg, `libavutil/display.h`: nine 32-bit numbers a b u c d v x y w, y pointing down.
    """
    side_data: Any = frame.side_data
    for data in side_data:
        if data.type == Type.DISPLAYMATRIX:
            a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
            signs = tuple((value > 0) - (value < 0) for value in (a, b, c, d))
            if signs == (0, 0, 0, 0):
                break
            straight, across = signs[0] and signs[3], signs[1] and signs[2]
            if bool(straight) == bool(across) or (straight and (signs[1] or signs[2])):
                raise ValueError("is to be shown at an angle that is no multiple of 90 degrees")
            return signs[0], signs[1], signs[2], signs[3]
    return 1, 0, 0, 1


def turned(pixels: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """The picture after the map of a display matrix, moved back to the origin."""
    a, b, c, d = matrix
    if a == 0:
        pixels = pixels.transpose(1, 0, 2)
        across, down = c, b
    else:
        across, down = a, d
    return pixels[:: down or 1, :: across or 1]


def fitted(pixels: np.ndarray, size: int | None) -> np.ndarray:
    """(size, size, 3), bicubic, aspect ratio not kept, as for pictures; unchanged where it fits."""
    height, width = pixels.shape[:2]
    if size is None or (height, width) == (size, size):
        return pixels
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
