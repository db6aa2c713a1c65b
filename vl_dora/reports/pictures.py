"""The picture behind an `ImageRef`, and the picture or frame inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from vl_dora.batch import ImageRef


def read_picture(image: ImageRef, root: Path) -> np.ndarray:
    """The pixels that `image` names below `root`, (height, width, 3) uint8 in red, green, blue.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: an array row that the file does not have.
    """
    file = root / image.path
    if image.index is None:
        with Image.open(file) as opened:
            pixels = np.asarray(opened.convert("RGB"))
    else:
        stored = np.load(file, mmap_mode="r", allow_pickle=False)
        if not 0 <= image.index < len(stored):
            raise ValueError(
                f"{file} holds pictures 0 to {len(stored) - 1}; picture {image.index} was asked for"
            )
        pixels = np.array(stored[image.index])
    if image.bgr:
        pixels = pixels[..., ::-1]
    if image.crop is not None:
        left, top, right, bottom = image.crop
        pixels = pixels[top:bottom, left:right]
    return pixels


def embedded_jpeg(pixels: np.ndarray, *, longest: int = 192) -> str:
    """As `embedded_png`, as JPEG: many frames of a clip fit into a page."""
    picture = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))
    picture.thumbnail((longest, longest))
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def embedded_png(pixels: np.ndarray, *, longest: int = 384) -> str:
    """A `data:` address of (height, width, 3) uint8 pixels as PNG, shrunk to `longest` pixels a side."""
    picture = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))
    picture.thumbnail((longest, longest))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
