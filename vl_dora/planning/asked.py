"""How large the batches of a run are: as asked for, as the data has them, or as the config lets them be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.planning.batch_shape import BatchShape

ASKED = ("prompt_tokens", "target_tokens", "pictures")


@dataclass(frozen=True)
class Epoch:
    """A pass over the training split.

    Args:
        samples: rows of the split, or as many as `data.limit.train` leaves.
        batches: of one process.
        steps: of the optimizer.
        tokens: prompt and target, padding not counted; an estimate where not all samples were looked at.
        looked_at: samples whose lengths are known.
    """

    samples: int
    batches: int
    steps: int
    tokens: int
    looked_at: int


@dataclass(frozen=True)
class Lengths:
    """What the training split's samples are like.

    Args:
        prompts: tokens of each prompt (of each conversation, for a decoder-only network).
        targets: tokens of each target (that are supervised, for a decoder-only network).
        pictures: of each sample, frames included.
        samples: how many there are in the split.
    """

    prompts: Sequence[int]
    targets: Sequence[int]
    pictures: Sequence[int]
    samples: int


@dataclass(frozen=True)
class PlannedBatch:
    """The batch of one task of a run.

    Args:
        task: its name.
        shape: how large it is.
        encoded: its pictures are seen once by a tower that does not train, and read as features.
        sources: size -> where it comes from.
        epoch: a pass over the data; None where the data is not there.
    """

    task: str
    shape: BatchShape
    encoded: bool
    sources: dict[str, str] = field(default_factory=dict)
    epoch: Epoch | None = None


def check_asked(config: DictConfig) -> None:
    """Stops on sizes that no batch has.

    Raises:
        ValueError: a size is not a whole number of at least 1 (0 for pictures).
    """
    for name in ASKED:
        value, least = config.batch[name], 0 if name == "pictures" else 1
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"batch.{name}={value} must be a whole number of at least {least}, or null")


def planned_batch(
    config: DictConfig, task: str, part: DictConfig, *, tower_trains: bool | None, lengths: Lengths | None
) -> PlannedBatch:
    """The batch of one task.

    Args:
        config: of the whole run.
        task: name of the task.
        part: the data config of the task.
        tower_trains: None: the network has no tower.
        lengths: of the training split, where it is there.
    """
    visual = int(OmegaConf.select(config, "model.data.collate.visual_tokens") or 0)
    sources: dict[str, str] = {}

    def size(name: str, known: Sequence[int] | None, limits: Sequence[tuple[str, Any]]) -> int:
        if config.batch[name] is not None:
            sources[name] = f"batch.{name}"
            return int(config.batch[name])
        if known:
            sources[name] = f"the largest of {len(known):,} training samples"
            return max(known)
        sources[name], value = next((where, value) for where, value in limits if value is not None)
        return int(value)

    stored = config.data.get("features") or part.get("features")
    has_features = bool(stored) or tower_trains is None
    frames = OmegaConf.select(part, "video.frames")
    clip = "video" in part
    pictures = size(
        "pictures",
        lengths.pictures if lengths else None,
        [
            ("one row of stored features a clip", 1 if clip and has_features else None),
            ("data.video.frames", frames),
            (
                "model.network.max_images",
                OmegaConf.select(config, "model.network.max_images") if clip else None,
            ),
            ("the task", _pictures_of(task, part)),
        ],
    )
    text = config.model.network.text
    positions = ("model.network.text.max_position_embeddings", text.get("max_position_embeddings"))
    if visual:
        limit = ("model.data.collate.max_tokens", config.model.data.collate.max_tokens)
        prompt = size("prompt_tokens", lengths.prompts if lengths else None, [limit, positions])
        rest = max(1, prompt - 1 - pictures * visual)
        target = size(
            "target_tokens", lengths.targets if lengths else None, [("all that is not a picture", rest)]
        )
    else:
        prompt = size(
            "prompt_tokens",
            lengths.prompts if lengths else None,
            [("data.max_prompt_tokens", part.get("max_prompt_tokens")), positions],
        )
        own = OmegaConf.select(config, f"generation.by_task.{task}.max_new_tokens")
        target = size(
            "target_tokens",
            lengths.targets if lengths else None,
            [
                ("data.max_target_tokens", part.get("max_target_tokens")),
                ("generation.max_new_tokens", own or config.generation.max_new_tokens),
            ],
        )
    samples = config.data.get("batch_size") or part.batch_size
    stored_shape = None
    if has_features:
        number = OmegaConf.select(config, "model.network.num_visual_tokens") or visual
        width = (
            OmegaConf.select(config, "model.network.feature_dim") or config.model.network.vision.hidden_size
        )
        stored_shape = (int(number), int(width))
    shape = BatchShape(
        samples, prompt, target, pictures, visual, stored_shape, int(config.model.image_size or 0)
    )
    encoded = bool(config.encode_once) and tower_trains is False and not has_features and pictures > 0
    return PlannedBatch(task, shape, encoded, sources, _epoch(config, samples, lengths))


def _pictures_of(task: str, part: DictConfig) -> int:
    """NLVR2 asks about two pictures, every other task without clips about one."""
    return 2 if "nlvr2" in str(OmegaConf.select(part, "embedded._target_") or task) else 1


def _epoch(config: DictConfig, samples: int, lengths: Lengths | None) -> Epoch | None:
    if lengths is None:
        return None
    batches = math.ceil(lengths.samples / (samples * processes(config)))
    looked_at = len(lengths.prompts)
    tokens = (sum(lengths.prompts) + (0 if _decoder_only(config) else sum(lengths.targets))) / max(
        1, looked_at
    )
    steps = math.ceil(batches / config.trainer.accumulate_grad_batches)
    return Epoch(lengths.samples, batches, steps, round(tokens * lengths.samples), looked_at)


def _decoder_only(config: DictConfig) -> bool:
    return OmegaConf.select(config, "model.data.collate.visual_tokens") is not None


def spreads_weights(config: DictConfig) -> bool:
    """Whether processes share weights (trainer=fsdp2), which a plan counts whole: an upper bound."""
    target = OmegaConf.select(config, "trainer.strategy._target_")
    return str(target or "").endswith(".ShardedStrategy")


def processes(config: DictConfig) -> int:
    """How many processes share a step; 1 where the trainer finds out by itself."""
    devices, nodes = config.trainer.devices, config.trainer.get("num_nodes") or 1
    if OmegaConf.is_list(devices):
        return len(devices) * nodes
    return int(devices) * nodes if str(devices).isdigit() and int(devices) > 0 else nodes
