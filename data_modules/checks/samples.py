"""The samples to show: what a network would get of each, and the pictures as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data_modules.checks.rows import Rows
from data_modules.clips import load_clip
from data_modules.data_module import VisionLanguageDataModule
from data_modules.dataset import VisionLanguageDataset
from data_modules.visuals import Blank, load_picture
from vl_dora.batch import Batch, ClipRef, Example, ImageRef

FRAME_SIDE = 160  # pixels of a clip's frame on the page


@dataclass(frozen=True)
class Shown:
    """One picture or frame for the eye.

    Args:
        pixels: (height, width, 3) uint8; None where there are none.
        caption: what it is, or why it cannot be shown.
    """

    pixels: np.ndarray | None
    caption: str


@dataclass(frozen=True)
class SampleShown:
    """One sample as the page shows it.

    Args:
        task: of a mixture, or the only one.
        split: name of the split.
        where: "file, row N".
        batch: the sample alone, as collated.
        visuals: its pictures and frames in the order in which a network sees them.
    """

    task: str
    split: str
    where: str
    batch: Batch
    visuals: tuple[Shown, ...]


def choose(rows: Rows, num: int, seed: int) -> Rows:
    """At most `num` samples at random, the kinds of questions in turn, in the order of the file."""
    generator = np.random.default_rng(seed)
    kinds: dict[str, list[int]] = {}
    for place in generator.permutation(len(rows)).tolist():
        kinds.setdefault(_kind(rows[place][0]), []).append(place)
    turns = [(turn, kind, place) for kind, own in kinds.items() for turn, place in enumerate(own[:num])]
    return [rows[place] for place in sorted(place for _, _, place in sorted(turns)[:num])]


def _kind(example: Example) -> str:
    groups = {key: value for key, value in example.groups.items() if key != "task"}
    return groups.get("question_type") or next(iter(groups.values()), "")


def show(
    data: VisionLanguageDataModule, rows: Rows, *, task: str, split: str, role: str, seed: int
) -> Iterator[SampleShown | str]:
    """Every sample as it is shown, or one sentence on why it cannot be."""
    dataset = VisionLanguageDataset(
        [example for example, _ in rows], data.visuals, training=role == "train", seed=seed
    )
    for index, (_, where) in enumerate(rows):
        try:
            sample = dataset.sample(0, index)
            batch = data.collate([sample])
            if isinstance(batch, ValueError):
                raise batch
            yield SampleShown(task, split, where, batch, _visuals(data, sample.example, sample.visuals))
        except ValueError as error:
            yield f"{where}: {error}"


def _visuals(
    data: VisionLanguageDataModule, example: Example, arrays: tuple[np.ndarray, ...]
) -> tuple[Shown, ...]:
    if isinstance(data.visuals, Blank):
        return tuple(Shown(None, f"{ref.path}: hidden by data.blind=true") for ref in example.visuals)
    seen = (
        ""
        if data.features is None
        else " (stored features {} x {})".format(*arrays[0].shape)
        if arrays
        else ""
    )
    shown = [_picture(data, ref, seen) for ref in example.images]
    if example.frames is not None:
        shown += _frames(data, example.frames, seen)
    return tuple(shown)


def _picture(data: VisionLanguageDataModule, ref: ImageRef, seen: str) -> Shown:
    try:
        pixels = load_picture(data.folder, ref, None).transpose(1, 2, 0)
    except ValueError as error:
        return Shown(None, f"{ref.path}{seen}" if data.features is not None else str(error))
    part = f", {ref.crop} of it" if ref.crop else f", row {ref.index}" if ref.index is not None else ""
    return Shown(pixels, f"{ref.path}{part}: {pixels.shape[1]} × {pixels.shape[0]} pixels{seen}")


def _frames(data: VisionLanguageDataModule, ref: ClipRef, seen: str) -> list[Shown]:
    try:
        clip, frames = load_clip(
            data.folder.absolute(), data.clips.settled(ref), FRAME_SIDE, data.clips.decoder
        )
    except ValueError as error:
        return [Shown(None, f"{ref.path}{seen}" if data.features is not None else str(error))]
    times, indices = clip.times or (), clip.indices or ()
    return [
        Shown(pixels.transpose(1, 2, 0), f"{ref.path}, frame {index} at {time:.2f} s{seen}")
        for pixels, time, index in zip(frames, times, indices, strict=True)
    ]
