"""Every picture, clip and stored feature of a data set, opened once.

Pictures are decoded at full size, since damage shows in no header. What two of them have in common is told by
their pixels, so that a copy under another name, or saved again without loss, is the same picture; clips are
compared by the bytes of their files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from data_modules.checks.finding import Progress
from data_modules.checks.rows import Rows
from data_modules.clips import load_clip
from data_modules.data_module import VisionLanguageDataModule
from data_modules.visuals import Blank, Pixels, load_picture, picture_path
from vl_dora.batch import ClipRef, ImageRef

Ref = ImageRef | ClipRef
Item = TypeVar("Item")
Found = TypeVar("Found")
MODES = ("all", "sample", "none")
SAMPLED = 1000  # pictures or clips of a split that "sample" decodes
AHEAD = 256  # files handed to the threads at once
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Seen:
    """What one picture or clip turned out to be.

    Args:
        problem: why it cannot be used; None if it can.
        digest: of what it shows; None if that was not read.
        width: in pixels, of the file or of its crop; None of features.
        height: likewise.
        flat: all pixels are equal.
        frames: arrays that a network gets of it: 1 of a picture.
        tokens: rows of a stored feature; None of pixels.
        seconds: length of a clip's file.
        rate: frames a second of a clip's file.
    """

    problem: str | None = None
    digest: bytes | None = None
    width: int | None = None
    height: int | None = None
    flat: bool = False
    frames: int = 1
    tokens: int | None = None
    seconds: float | None = None
    rate: float | None = None


def look(
    data: VisionLanguageDataModule, splits: Sequence[Rows], mode: str, seed: int, progress: Progress
) -> dict[Ref, Seen]:
    """What is known of every picture and clip of these splits.

    Args:
        data: its folder, features and clip settings count; `num_workers` threads decode, at least one.
        splits: the samples of each.
        mode: "all" decodes everything; "sample" asks of every file whether it is there and decodes a random
            `SAMPLED` of each split; "none" touches no file.
        seed: of that choice.
        progress: shows how far it is.
    """
    refs = [list(dict.fromkeys(ref for example, _ in rows for ref in example.visuals)) for rows in splits]
    everything = dict.fromkeys(ref for own in refs for ref in own)
    if mode == "none" or isinstance(data.visuals, Blank):
        return dict.fromkeys(everything, Seen())
    chosen = set(everything)
    if mode == "sample":
        chosen = {own[i] for own in refs for i in np.random.default_rng(seed).permutation(len(own))[:SAMPLED]}
    # Crops of one file lie together: the picture that was decoded last is kept.
    files: dict[str, list[Ref]] = {}
    for ref in everything:
        files.setdefault(ref.path, []).append(ref)

    def open_file(group: list[Ref]) -> list[tuple[Ref, Seen]]:
        return [(ref, _open(data, ref, decode=ref in chosen)) for ref in group]

    opened = _in_threads(open_file, list(files.values()), max(1, data.num_workers))
    found: dict[Ref, Seen] = {}
    for pairs in progress(opened, len(files), "pictures and clips"):
        found.update(pairs)
    return found


def _in_threads(work: Callable[[Item], Found], items: list[Item], workers: int) -> Iterator[Found]:
    """Results in order; decoders let go of the interpreter while they work."""
    if workers == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), AHEAD):
            yield from pool.map(work, items[start : start + AHEAD])


def _open(data: VisionLanguageDataModule, ref: Ref, *, decode: bool) -> Seen:
    try:
        data.visuals.check(ref)
        if not decode:
            return Seen()
        if data.features is not None:
            return _features(data, ref)
        return _clip(data, ref) if isinstance(ref, ClipRef) else _picture(data, ref)
    except ValueError as error:
        return Seen(problem=str(error))


def _picture(data: VisionLanguageDataModule, ref: ImageRef) -> Seen:
    pixels = load_picture(data.folder, ref, None)
    flat = bool((pixels == pixels[:, :1, :1]).all())
    return Seen(digest=digest([pixels]), width=pixels.shape[2], height=pixels.shape[1], flat=flat)


def _clip(data: VisionLanguageDataModule, ref: ClipRef) -> Seen:
    from data_modules.video.survey import survey

    assert isinstance(data.visuals, Pixels)
    path = picture_path(data.folder, ref)
    _, frames = load_clip(data.visuals.root, data.clips.settled(ref), data.image_size, data.clips.decoder)
    found = survey(path)
    seconds = found.seconds(found.end) - found.seconds(found.stamps[0])
    return Seen(
        digest=_file_digest(path),
        width=found.width,
        height=found.height,
        flat=bool((frames == frames[:, :, :1, :1]).all()),
        frames=len(frames),
        seconds=seconds,
        rate=len(found.stamps) / seconds if seconds > 0 else None,
    )


def _features(data: VisionLanguageDataModule, ref: Ref) -> Seen:
    loaded = data.visuals.load_clip(ref)[1] if isinstance(ref, ClipRef) else data.visuals.load(ref)[None]
    if not np.isfinite(loaded).all():
        return Seen(problem=f"features of {ref.path} hold a NaN or an infinity")
    return Seen(digest=digest(loaded), frames=len(loaded), tokens=int(loaded.shape[1]))


def digest(arrays: Iterable[np.ndarray]) -> bytes:
    """Equal for equal arrays of equal shape."""
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for array in arrays:
        hashed.update(repr(array.shape).encode())
        hashed.update(np.ascontiguousarray(array).data)
    return hashed.digest()


def _file_digest(path: Path) -> bytes:
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        while block := file.read(2**20):
            hashed.update(block)
    return hashed.digest()
