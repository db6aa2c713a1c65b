"""The one data module: an official data folder, or an embedded world, as batches of one task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch

from data_modules.cache import drawn_world, world_name
from data_modules.clips import ClipSettings, reread_clip
from data_modules.collate import Collate
from data_modules.conversation_collate import ConversationCollate
from data_modules.conversation_reading import with_fitting_conversations
from data_modules.dataset import EpochSampler, ResumableLoader, VisionLanguageDataset
from data_modules.encoded import encode_once
from data_modules.features import open_features
from data_modules.length_order import ORDERS, GroupedSampler, words_of
from data_modules.packing import training_collate
from data_modules.reading import (
    BadSamples,
    FileFormat,
    Places,
    Visuals,
    drawn_subset,
    read_examples,
    with_fitting_texts,
    with_targets,
    with_visuals,
)
from data_modules.visuals import Blank, Pixels, require_file
from vl_dora.batch import ClipRef, Example
from vl_dora.tasks.interface import Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

# Decoded pictures kept in memory, over all loader workers together: 1 GiB, 38,000 pictures of 96 x 96.
KEEP_BYTES = 2**30
ROLES = ("train", "val", "test")


class VisionLanguageDataModule(lightning.LightningDataModule):
    """Reads, checks and serves the splits of one data set.

    Every argument but the first three is a key of the config group `data`.

    Args:
        task: makes examples of rows; its `loss_reduction` sets the label weights.
        tokenizer: of the base.
        image_size: height and width that the tower reads, in pixels; may be None when
            `features` are read.
        files: reader of the official file format.
        cache_dir: where embedded worlds are drawn; usually `paths.cache_dir`.
        root: folder of an official data set; None: the embedded world.
        embedded: `embedded(folder)` writes the embedded world; None: there is none.
        splits: role (train, val, test) -> name of the split in the folder; None: no such split.
        split: the split to score instead of `splits["test"]`.
        batch_size: training samples a step and process.
        eval_batch_size: samples a step in evaluation; None: `batch_size`.
        num_workers: loader processes of one thread each; 0: in this process.
        on_error: "raise" stops at a bad sample, "skip" leaves it out, counts and names it.
        max_skipped: how many samples of a split may be left out.
        blind: every picture is replaced by one constant (mid grey, or zero features): the
            text-only run to compare with. Pictures need not be there.
        max_prompt_tokens: special tokens included; None: no limit.
        max_target_tokens: special tokens included; None: no limit.
        on_long: on a longer text "raise", "truncate", or "shorten", by which a prompt loses lines that it
            can spare; what is raised is left out under `on_error=skip`.
        right_cut: the reference's silent truncation: where its `applies` is true, its `prompt` and
            `target` (tokens, or None) are the limits and longer texts are cut from the right.
        features: folder of stored features, read in place of pixels; what is in it tells its format.
        video: decoder, frames and fps of clips, see `ClipSettings`.
        limit: role -> at most so many samples, a random subset in file order; None: all.
        order: of training: "shuffled", or "grouped": the samples of a step are all with pictures or all
            without, and of like lengths (`data_modules.length_order`).
        packing: training batches hold several conversations a row (`data_modules.packing`).
        collate: makes the collate of tokenizer, limits, reduction and `on_long`; from the model's config.
        square_fill: colour of the margins that make pictures square; None: they are stretched.
        keep_in_memory: keep decoded pictures, up to `KEEP_BYTES`.
        seed: of the order, the subset, and the draw of targets.

    Attributes:
        skipped: split -> one sentence for each sample left out.

    Raises:
        ValueError: an option outside what is allowed, naming its config key.
    """

    def __init__(
        self,
        *,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        image_size: int | None,
        files: FileFormat,
        cache_dir: Path | str = "~/.cache/vl_dora",
        root: Path | str | None = None,
        embedded: Callable[[Path], Any] | None = None,
        splits: Mapping[str, str | None] | None = None,
        split: str | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        on_error: str = "raise",
        max_skipped: int = 100,
        blind: bool = False,
        max_prompt_tokens: int | None = None,
        max_target_tokens: int | None = None,
        on_long: str = "raise",
        right_cut: Mapping[str, Any] | None = None,
        features: Path | str | None = None,
        video: Mapping[str, Any] | None = None,
        limit: Mapping[str, int | None] | None = None,
        order: str = "shuffled",
        packing: bool = False,
        collate: Callable[..., Collate | ConversationCollate] = Collate,
        square_fill: Sequence[int] | None = None,
        keep_in_memory: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.task = task
        self.tokenizer = tokenizer
        self.image_size = image_size
        self.files = files
        self.cache_dir = cache_dir
        self.root = root
        self.embedded = embedded
        self.splits = _by_role("splits", splits if splits is not None else {role: role for role in ROLES})
        self.evaluation_split = split if split is not None else self.splits["test"]
        self.batch_size = _at_least("batch_size", 1, batch_size)
        eval_size = batch_size if eval_batch_size is None else eval_batch_size
        self.eval_batch_size = _at_least("eval_batch_size", 1, eval_size)
        self.num_workers = _at_least("num_workers", 0, num_workers)
        self.on_error = on_error
        if on_error not in ("raise", "skip"):
            raise ValueError(f"data.on_error={on_error!r} must be raise or skip")
        self.max_skipped = _at_least("max_skipped", 0, max_skipped)
        self.blind = blind
        self.features = features
        self.clips = _clip_settings(video or {})
        self.limit = _by_role("limit", limit or {})
        for role, count in self.limit.items():
            if count is not None:
                _at_least(f"limit.{role}", 1, count)
        if features is None and image_size is None:
            raise ValueError("model.image_size is not set, which reading pixels needs; or set data.features")
        self.keep_in_memory = keep_in_memory
        self.seed = _at_least("seed", 0, seed)
        if right_cut is not None and right_cut["applies"]:
            max_prompt_tokens, max_target_tokens = right_cut["prompt"], right_cut["target"]
            on_long = "truncate"
        if order not in ORDERS:
            raise ValueError(f"data.order={order!r} must be one of {', '.join(ORDERS)}")
        self.order = order
        self.square_fill = _colour(square_fill)
        self.collate = collate(tokenizer, max_prompt_tokens, max_target_tokens, task.loss_reduction, on_long)
        self.training_collate = training_collate(self.collate, packing)
        self.skipped: dict[str, list[str]] = {}
        self._folder: Path | None = None
        self._visuals: Visuals | None = None
        self._examples: dict[tuple[str, str], list[Example]] = {}

    @property
    def folder(self) -> Path:
        """The data folder: `root`, or the embedded world, drawn when it is not there yet.

        Raises:
            ValueError: `data.root` is no folder, or an empty one, or is needed and not given.
        """
        if self._folder is None:
            self._folder = self._found_root() if self.root is not None else self._drawn_root()
        return self._folder

    def is_there(self) -> bool:
        """Whether the data folder can be read as it is; nothing is drawn."""
        if self.root is not None:
            return Path(str(self.root)).expanduser().is_dir()
        cache = Path(self.cache_dir).expanduser()
        return self.embedded is not None and (cache / world_name(self.embedded)).is_dir()

    def _found_root(self) -> Path:
        folder = Path(str(self.root)).expanduser()
        if not folder.exists():
            raise ValueError(f"data.root={self.root} does not exist")
        if not folder.is_dir():
            raise ValueError(f"data.root={self.root} is not a folder")
        if not any(folder.iterdir()):
            raise ValueError(f"data.root={self.root} is an empty folder")
        return folder

    def _drawn_root(self) -> Path:
        if self.embedded is None:
            raise ValueError("data.root is not set and this data set has no embedded world; set data.root")
        return drawn_world(self.embedded, self.cache_dir)

    @property
    def visuals(self) -> Visuals:
        """Where this data module's pictures come from."""
        if self._visuals is None:
            self._visuals = self._open_visuals()
        return self._visuals

    def _open_visuals(self) -> Visuals:
        if self.features is not None:
            stored = open_features(self.features, self.clips)
            return Blank(np.zeros(stored.shape, dtype=np.float32)) if self.blind else stored
        assert self.image_size is not None
        if self.blind:
            return Blank.grey(self.image_size)
        keep = KEEP_BYTES // max(1, self.num_workers) if self.keep_in_memory else 0
        return Pixels(
            self.folder, self.image_size, keep_bytes=keep, clips=self.clips, square_fill=self.square_fill
        )

    def encode_pictures(self, encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Puts a frozen tower's features in the place of the pictures of all examples read so far.

        Nothing changes when features are stored already or would not fit in memory. Call it after
        `setup`; splits read later are read as pictures and must not be mixed with these.

        Args:
            encode: uint8 (M, 3, size, size) -> (M, N, F), deterministic and in evaluation mode.

        Raises:
            ValueError: a picture cannot be read.
        """
        if isinstance(self.visuals, Blank) and self.features is None:
            grey = torch.from_numpy(self.visuals.array)[None]
            with torch.inference_mode():
                self._visuals = Blank(encode(grey)[0].float().cpu().numpy())
        elif isinstance(self.visuals, Pixels):
            refs = dict.fromkeys(ref for read in self._examples.values() for e in read for ref in e.visuals)
            places = Places(self.files, self.folder, self.task, tuple(split for split, _ in self._examples))
            self._visuals = encode_once(self.visuals, refs, encode, KEEP_BYTES, places) or self.visuals

    def read_clip(self, ref: ClipRef) -> tuple[np.ndarray, tuple[float, ...]]:
        """The frames of a clip of an example, (n, height, width, 3) uint8, and their seconds.

        Raises:
            ValueError: the file is missing or cannot be used.
        """
        require_file(self.folder, ref)
        return reread_clip(self.folder, ref, self.clips)

    def prepare_data(self) -> None:
        """Draws the embedded world; Lightning calls it in one process only."""
        log.debug("data folder %s", self.folder)

    def setup(self, stage: str | None = None) -> None:
        """Reads and checks the splits of a stage, so that bad input stops before the first step."""
        roles = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}.get(stage or "", ROLES)
        for role in roles:
            split = self.evaluation_split if role == "test" else self.splits[role]
            if split is not None:
                self.examples(split, role)

    def examples(self, split: str, role: str = "test") -> list[Example]:
        """The examples of a split, checked; read once.

        Args:
            split: name of the split in the data folder.
            role: train, val or test: which limit holds; train also asks for targets.

        Raises:
            ValueError: an unknown or empty split, or a bad sample, naming file and row.
        """
        if (split, role) not in self._examples:
            self._examples[split, role] = self._read(split, role)
        return self._examples[split, role]

    def _read(self, split: str, role: str) -> list[Example]:
        found = self.files.splits(self.folder)
        if split not in found:
            key = "split" if split == self.evaluation_split and role == "test" else f"splits.{role}"
            raise ValueError(
                f"data.{key}={split} is not in {self.folder}; splits found there: "
                f"{', '.join(found) or 'none'}"
            )
        bad = BadSamples(split, self.on_error, self.max_skipped)
        rows = read_examples(self.files, self.folder, split, self.task, bad)
        rows = drawn_subset(rows, self.limit[role], self.seed)
        if role == "train":
            rows = with_targets(rows, bad)
        training = role == "train"
        if isinstance(self.collate, ConversationCollate):
            rows = with_fitting_conversations(rows, self.collate, bad, training=training)
        else:
            rows = with_fitting_texts(rows, self.collate, bad, training=training)
        rows = with_visuals(rows, self.visuals, bad)
        bad.report(len(rows) + len(bad.messages))
        self.skipped[split] = bad.messages
        if not rows:
            raise ValueError(f"split {split} of {self.folder} has no sample that can be used")
        return [example for example, _ in rows]

    def known_examples(self) -> list[Example] | None:
        """The examples of the training split; None where there is no such split in the folder.

        Raises:
            ValueError: as `examples`.
        """
        train = self.splits["train"]
        if train is None or train not in self.files.splits(self.folder):
            return None
        return self.examples(train, "train")

    def dataset(self, split: str, role: str = "test") -> VisionLanguageDataset:
        """The split as a data set; with role train, targets are drawn."""
        places, training = Places(self.files, self.folder, self.task, (split,)), role == "train"
        examples = self.examples(split, role)
        return VisionLanguageDataset(examples, self.visuals, training=training, seed=self.seed, places=places)

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled batches; the order is a function of the seed and the epoch."""
        split = self.splits["train"]
        if split is None:
            raise ValueError("data.splits.train is not set; training needs a split")
        return self._loader(split, "train")

    def val_dataloader(self) -> ResumableLoader | list:
        """The validation split in file order; an empty list when there is none."""
        split = self.splits["val"]
        return [] if split is None else self._loader(split, "val")

    def test_dataloader(self) -> ResumableLoader | list:
        """The split to score, in file order; an empty list when there is none."""
        return [] if self.evaluation_split is None else self._loader(self.evaluation_split, "test")

    def dataloader(self, split: str) -> ResumableLoader:
        """Any split of the folder, in file order, for evaluation."""
        return self._loader(split, "test")

    def _loader(self, split: str, role: str) -> ResumableLoader:
        dataset = self.dataset(split, role)
        training = role == "train"
        return ResumableLoader(
            dataset,
            batch_size=self.batch_size if training else self.eval_batch_size,
            sampler=self._sampler(dataset.examples, training),
            num_workers=self.num_workers,
            collate_fn=self.training_collate if training else self.collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            # Its own, so that starting a pass draws nothing from the stream of the dropout masks.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _sampler(self, examples: Sequence[Example], training: bool) -> EpochSampler:
        trainer = self.trainer
        num_replicas, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        if training and self.order == "grouped":
            accumulated = trainer.accumulate_grad_batches if trainer else 1
            return GroupedSampler(
                [words_of(example) for example in examples],
                [bool(example.visuals) for example in examples],
                group_size=self.batch_size * num_replicas * accumulated,
                seed=self.seed,
                num_replicas=num_replicas,
                rank=rank,
            )
        return EpochSampler(
            len(examples), seed=self.seed, shuffle=training, num_replicas=num_replicas, rank=rank
        )


def _colour(given: Sequence[int] | None) -> tuple[int, ...] | None:
    if given is not None and (len(given) != 3 or not all(0 <= value <= 255 for value in given)):
        raise ValueError(f"model.data.square_fill={list(given)} must be three numbers in 0..255, or null")
    return None if given is None else tuple(given)


def _at_least(key: str, least: int, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"data.{key}={value} must be a whole number of at least {least}")
    return value


def _clip_settings(given: Mapping[str, Any]) -> ClipSettings:
    allowed = [field.name for field in fields(ClipSettings)]
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ValueError(f"data.video.{unknown[0]} is unknown; allowed: {', '.join(allowed)}")
    return ClipSettings(**given)


def _by_role(key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(given) - set(ROLES))
    if unknown:
        raise ValueError(f"data.{key}.{unknown[0]} is unknown; allowed: {', '.join(ROLES)}")
    return {role: given.get(role) for role in ROLES}
