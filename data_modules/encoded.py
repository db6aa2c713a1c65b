"""Features that a frozen tower makes of pictures, once, kept in memory for the rest of the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from data_modules.visuals import Pixels
from vl_dora.batch import ImageRef

log = logging.getLogger(__name__)

BATCH = 64


class Encoded:
    """Features in place of pixels: (N, F) float32 for each picture, read by reference.

    Args:
        features: (n, N, F) in the order of `refs`.
        refs: the pictures.
    """

    def __init__(self, features: np.ndarray, refs: Iterable[ImageRef]) -> None:
        self.features = features
        self.rows = {ref: row for row, ref in enumerate(refs)}

    def check(self, ref: ImageRef) -> None:
        """Raises ValueError for a picture that was not encoded."""
        if ref not in self.rows:
            raise ValueError(f"picture {ref.path} was not encoded at the start of the run")

    def load(self, ref: ImageRef) -> np.ndarray:
        """(N, F) float32."""
        self.check(ref)
        return self.features[self.rows[ref]]


def encode_once(
    pixels: Pixels, refs: Iterable[ImageRef], encode: Callable[[Tensor], Tensor], most_bytes: int
) -> Encoded | None:
    """Runs every picture through `encode`, or gives None when the features would not fit.

    Args:
        pixels: where the pictures are read.
        refs: each picture once.
        encode: uint8 (M, 3, size, size) -> (M, N, F), a tower that does not train.
        most_bytes: how much memory the features may take.

    Raises:
        PictureError: a picture cannot be read.
    """
    refs = list(refs)
    if not refs:
        return None
    kept: np.ndarray | None = None
    rest = iter(enumerate(refs))
    while part := list(islice(rest, BATCH)):
        pictures = torch.from_numpy(np.stack([pixels.load(ref) for _, ref in part]))
        with torch.inference_mode():
            features = encode(pictures).float().cpu().numpy()
        if kept is None:
            if features[0].nbytes * len(refs) > most_bytes:
                log.info(
                    "features of %d pictures do not fit in memory: the tower runs in every step", len(refs)
                )
                return None
            kept = np.empty((len(refs), *features.shape[1:]), dtype=np.float32)
        kept[part[0][0] : part[-1][0] + 1] = features
    assert kept is not None
    return Encoded(kept, refs)
