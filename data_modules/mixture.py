"""Several data sets as one: a batch is of one task, each data set keeps its reader, pictures and limits."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch.utils.data import Dataset

from data_modules.collate import Collate, Sample
from data_modules.conversation_collate import ConversationCollate
from data_modules.data_module import VisionLanguageDataModule
from data_modules.dataset import ResumableLoader, VisionLanguageDataset
from data_modules.mixture_order import ORDERS, Key, MixtureSampler
from vl_dora.batch import Batch, ClipRef, Example
from vl_dora.tasks.interface import TaskMixture

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class MixtureDataModule(lightning.LightningDataModule):
    """One `VisionLanguageDataModule` a task, their batches shuffled together.

    Options that are null are as each part has them; what is given here holds for all parts.

    Args:
        task: the tasks by name; each part's samples are marked with its name.
        tokenizer: of the base.
        image_size: height and width that the tower reads, in pixels.
        parts: name of a task -> its data module, everything but task, tokenizer and image size given.
        cache_dir: where embedded worlds are drawn.
        root: a folder with a folder for each part (`folders`); None: each part's own root or embedded world.
        folders: name of a task -> its folder below `root`.
        order: proportional or balanced, see `mixture_order`.
        packing: training batches hold several conversations a row; None: as each part has it.
        split: the split to score in place of every part's `splits.test`.
        batch_size: training samples a step and process, of every task.
        eval_batch_size: samples a step in evaluation.
        num_workers: loader processes.
        on_error: raise or skip.
        max_skipped: how many samples of a split of a part may be left out.
        blind: every picture is replaced by one constant.
        features: a folder with a folder of stored features for each part.
        feature_folders: name of a task -> its folder below `features`; None: as `folders`.
        video: decoder, frames or fps of all clips; see `ClipSettings`.
        limit: role -> at most so many samples of each part.
        collate: makes each part's collate; from the model's config.
        square_fill: colour of the margins that make pictures square; None: they are stretched.
        seed: of the order, the subsets and the draw of targets.

    Raises:
        ValueError: an option outside what is allowed, or parts that are not the tasks.
    """

    def __init__(
        self,
        *,
        task: TaskMixture,
        tokenizer: PreTrainedTokenizerBase,
        image_size: int | None,
        parts: Mapping[str, Callable[..., VisionLanguageDataModule]],
        cache_dir: Path | str = "~/.cache/vl_dora",
        root: Path | str | None = None,
        folders: Mapping[str, str] | None = None,
        order: str = "proportional",
        packing: bool | None = None,
        split: str | None = None,
        batch_size: int | None = None,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        on_error: str | None = None,
        max_skipped: int | None = None,
        blind: bool | None = None,
        features: Path | str | None = None,
        feature_folders: Mapping[str, str] | None = None,
        video: Mapping[str, Any] | None = None,
        limit: Mapping[str, int | None] | None = None,
        collate: Callable[..., Collate | ConversationCollate] = Collate,
        square_fill: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not hasattr(task, "tasks") or set(task.tasks) != set(parts):
            there = ", ".join(getattr(task, "tasks", ["one task alone"]))
            raise ValueError(f"data.parts={list(parts)} must be the tasks of task.tasks: {there}")
        if order not in ORDERS[:2]:
            raise ValueError(f"data.order={order!r} must be {' or '.join(ORDERS[:2])}")
        self.order, self.num_workers, self.seed, self.tokenizer = order, num_workers, seed, tokenizer
        given = {
            "split": split,
            "batch_size": batch_size,
            "eval_batch_size": eval_batch_size,
            "on_error": on_error,
            "max_skipped": max_skipped,
            "blind": blind,
            "packing": packing,
            "limit": limit if any(value is not None for value in (limit or {}).values()) else None,
        }
        shared = {key: value for key, value in given.items() if value is not None}
        folders = folders or {}
        feature_folders = folders if feature_folders is None else feature_folders
        self.parts = {
            name: make(
                task=task.member(name),
                tokenizer=tokenizer,
                image_size=image_size,
                cache_dir=cache_dir,
                num_workers=num_workers,
                seed=seed,
                collate=collate,
                square_fill=square_fill,
                **shared,
                **_below("root", root, folders.get(name, name)),
                **_below("features", features, feature_folders.get(name, name)),
                **_video_of(make, video or {}),
            )
            for name, make in parts.items()
        }
        self.blind = all(part.blind for part in self.parts.values())

    @property
    def folder(self) -> Path:
        """The folder that all parts lie below; pictures in examples have absolute paths."""
        return Path(os.path.commonpath([part.folder.absolute() for part in self.parts.values()]))

    @property
    def evaluation_split(self) -> str | None:
        """The parts' splits to score, joined by + where they differ; None when there are none."""
        found = [part.evaluation_split for part in self.parts.values() if part.evaluation_split is not None]
        return "+".join(dict.fromkeys(found)) or None

    @property
    def skipped(self) -> dict[str, list[str]]:
        """`<task>/<split>` -> one sentence for each sample left out."""
        return {f"{n}/{split}": m for n, part in self.parts.items() for split, m in part.skipped.items()}

    def encode_pictures(self, encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """As `VisionLanguageDataModule.encode_pictures`, in every part."""
        for part in self.parts.values():
            part.encode_pictures(encode)

    def read_clip(self, ref: ClipRef) -> tuple[np.ndarray, tuple[float, ...]]:
        """As `VisionLanguageDataModule.read_clip`; clips in examples have absolute paths."""
        return next(iter(self.parts.values())).read_clip(ref)

    def prepare_data(self) -> None:
        """Draws the embedded worlds; Lightning calls it in one process only."""
        for part in self.parts.values():
            part.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Reads and checks the splits of a stage."""
        for part in self.parts.values():
            part.setup(stage)

    def known_examples(self) -> list[Example] | None:
        """The training examples of all parts; None when a part has no training split."""
        found = [part.known_examples() for part in self.parts.values()]
        if any(examples is None for examples in found):
            return None
        return [example for examples in found for example in examples or []]

    def train_dataloader(self) -> ResumableLoader:
        """Batches of one task each, shuffled together; the order is a function of the seed and the epoch."""
        missing = [name for name, part in self.parts.items() if part.splits["train"] is None]
        if missing:
            raise ValueError(f"data.parts.{missing[0]}.splits.train is not set; training needs a split")
        return self._loader("train", {name: str(part.splits["train"]) for name, part in self.parts.items()})

    def val_dataloader(self) -> ResumableLoader | list:
        """The validation splits of the parts that have one, part after part, in file order."""
        splits = {n: part.splits["val"] for n, part in self.parts.items() if part.splits["val"] is not None}
        return self._loader("val", splits) if splits else []

    def test_dataloader(self) -> ResumableLoader | list:
        """The splits to score, part after part, in file order."""
        splits = {n: p.evaluation_split for n, p in self.parts.items() if p.evaluation_split is not None}
        return self._loader("test", splits) if splits else []

    def _loader(self, role: str, splits: Mapping[str, str]) -> ResumableLoader:
        training = role == "train"
        parts = {name: self.parts[name] for name in splits}
        datasets = {name: part.dataset(splits[name], role) for name, part in parts.items()}
        sampler = MixtureSampler(
            {name: len(dataset) for name, dataset in datasets.items()},
            {name: part.batch_size if training else part.eval_batch_size for name, part in parts.items()},
            order=self.order if training else "file",
            seed=self.seed,
            num_replicas=self.trainer.world_size if self.trainer else 1,
            rank=self.trainer.global_rank if self.trainer else 0,
        )
        return ResumableLoader(
            MixtureDataset(datasets, {name: part.folder.absolute() for name, part in parts.items()}),
            # The sampler hands out whole batches.
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=MixtureCollate(
                {name: p.training_collate if training else p.collate for name, p in parts.items()}
            ),
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(self.seed),
        )


Drawn = tuple[str, "Sequence[Sample | ValueError]"]


class MixtureDataset(Dataset):
    """The samples of one batch: (task, its samples), read by (task, epoch, indices).

    Args:
        datasets: task -> its split.
        folders: task -> its data folder, put before the paths of pictures and clips, which lie in several.
    """

    def __init__(self, datasets: Mapping[str, VisionLanguageDataset], folders: Mapping[str, Path]) -> None:
        self.datasets = datasets
        self.folders = folders

    def __getitem__(self, key: Key) -> Drawn:
        name, epoch, indices = key
        found = [self.datasets[name][epoch, index] for index in indices]
        return name, [self._placed(name, sample) for sample in found]

    def _placed(self, name: str, sample: Sample | ValueError) -> Sample | ValueError:
        if isinstance(sample, ValueError):
            return sample
        folder, example = self.folders[name], sample.example
        images = tuple(replace(ref, path=str(folder / ref.path)) for ref in example.images)
        clip = example.frames
        frames = None if clip is None else replace(clip, path=str(folder / clip.path))
        return replace(sample, example=replace(example, images=images, frames=frames))


class MixtureCollate:
    """Collates a batch, a `Drawn`, as its task does.

    Args:
        collates: task -> its collate.
    """

    def __init__(self, collates: Mapping[str, Callable[..., Any]]) -> None:
        self.collates = collates

    def __call__(self, drawn: Any) -> Batch | ValueError:
        name, samples = drawn
        return self.collates[name](samples)


def _video_of(make: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a part is to know of clips: its own settings, and over them those given that are not null."""
    given = {key: value for key, value in given.items() if value is not None}
    if not given:
        return {}
    own = dict(getattr(make, "keywords", {}).get("video") or {})
    if "frames" in given or "fps" in given:
        # Of the two one decides, and the part's may be the other.
        own |= {"frames": None, "fps": None}
    return {"video": {**own, **given}}


def _below(key: str, folder: Path | str | None, name: str) -> dict[str, str]:
    return {} if folder is None else {key: os.path.join(os.path.expanduser(str(folder)), name)}
