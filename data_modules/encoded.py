"""Features that a frozen tower makes of pictures and clips, once, kept in memory for the rest of the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from data_modules.reading import Places, placed
from data_modules.visuals import Pixels
from vl_dora.batch import ClipRef, ImageRef

log = logging.getLogger(__name__)

BATCH = 64


class Encoded:
    """Features in place of pixels, read by reference.

    Args:
        features: (N, F) float32 of each picture, (n, N, F) of each clip.
        shown: for each clip, the reference with the indices and times of its n frames.
    """

    def __init__(
        self, features: dict[ImageRef | ClipRef, np.ndarray], shown: dict[ClipRef, ClipRef] | None = None
    ) -> None:
        self.features = features
        self.shown = shown or {}

    def check(self, ref: ImageRef | ClipRef) -> None:
        """Raises ValueError for a picture or clip that was not encoded."""
        if ref not in self.features:
            kind = "picture" if isinstance(ref, ImageRef) else "video"
            raise ValueError(f"{kind} {ref.path} was not encoded at the start of the run")

    def load(self, ref: ImageRef) -> np.ndarray:
        """(N, F) float32."""
        self.check(ref)
        return self.features[ref]

    def load_clip(self, ref: ClipRef) -> tuple[ClipRef, np.ndarray]:
        """The clip with indices and times, and (n, N, F) float32."""
        self.check(ref)
        return self.shown[ref], self.features[ref]


def encode_once(
    pixels: Pixels,
    refs: Iterable[ImageRef | ClipRef],
    encode: Callable[[Tensor], Tensor],
    most_bytes: int,
    places: Places | None = None,
) -> Encoded | None:
    """Runs every picture and frame through `encode`, or gives None when the features would not fit.

    Args:
        pixels: where they are read.
        refs: each picture and clip once.
        encode: uint8 (M, 3, size, size) -> (M, N, F), a tower that does not train.
        most_bytes: how much memory the features may take.
        places: tells the row of a picture that cannot be read.

    Raises:
        PictureError: a picture cannot be read; VideoError: a clip cannot.
    """
    refs = list(refs)
    kept: dict[ImageRef | ClipRef, np.ndarray] = {}
    shown: dict[ClipRef, ClipRef] = {}
    used = 0
    for part in _parts(pixels, refs, shown, places):
        pictures = torch.from_numpy(np.concatenate([frames for _, frames in part]))
        with torch.inference_mode():
            chunks = [encode(some).float().cpu().numpy() for some in pictures.split(BATCH)]
        features = np.concatenate(chunks)
        used += features.nbytes
        # Pictures are of one size each, which tells at once; clips may have any number of frames.
        expected = features[0].nbytes * len(refs) if not shown else used
        if max(used, expected) > most_bytes:
            log.info("features of %d pictures do not fit in memory: the tower runs in every step", len(refs))
            return None
        ends = np.cumsum([len(frames) for _, frames in part])
        for (ref, frames), own in zip(part, np.split(features, ends[:-1]), strict=True):
            kept[ref] = own if isinstance(ref, ClipRef) else own[0]
            assert len(own) == len(frames)
    return Encoded(kept, shown) if kept else None


def _parts(
    pixels: Pixels,
    refs: list[ImageRef | ClipRef],
    shown: dict[ClipRef, ClipRef],
    places: Places | None,
) -> Iterator[list[tuple[ImageRef | ClipRef, np.ndarray]]]:
    """References with their (n, 3, size, size) pixels, together at least `BATCH` pictures but at the end."""
    part: list[tuple[ImageRef | ClipRef, np.ndarray]] = []
    num = 0
    for ref in refs:
        with placed(places, ref):
            if isinstance(ref, ClipRef):
                shown[ref], frames = pixels.load_clip(ref)
            else:
                frames = pixels.load(ref)[None]
        part.append((ref, frames))
        num += len(frames)
        if num >= BATCH:
            yield part
            part, num = [], 0
    if part:
        yield part
