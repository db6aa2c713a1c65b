"""From a config to objects: the only place where classes named in configs are made."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

# What Lightning says of runs as they are meant to be here, and of its own deprecated calls.
_NOISE = (
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*Experiment logs directory .* exists and is not empty.*",
    r".*does not have many workers.*",
    r"Found \d+ module\(s\) in eval mode at the start of training.*",
    r".*number of training batches .* is smaller than the logging interval.*",
)


@dataclass(frozen=True)
class Built:
    """What a run works with."""

    task: Any
    data: Any
    module: Any


def build(config: DictConfig) -> Built:
    """Task, data module and Lightning module, seeded; base weights are read, data is not yet.

    Raises:
        ValueError: an option that one of them refuses.
    """
    import lightning
    import torch

    if config.threads is not None:
        if config.threads < 1:
            raise ValueError(f"threads={config.threads} must be at least 1, or null for torch's own choice")
        torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    model = config.model
    task = made(config.task)
    tokenizer = make_tokenizer(config)
    data = make_data(config, task, tokenizer)
    network = made(model.network)
    if model.base is not None:
        made(model.load_base)(network, model.base)
    module = made(model.module)(
        network=network,
        task=task,
        tokenizer=tokenizer,
        selection=plain(config.adapter),
        optimizer=made(config.optim),
        generation=plain(config.generation),
    )
    return Built(task, data, module)


def encode_pictures(config: DictConfig, built: Built) -> None:
    """Lets a tower that does not train see every picture once, where `encode_once` asks for it.

    The features are those that the tower would make in every step; they stay in memory.
    """
    import torch

    network, audit = built.module.network, built.module.audit
    tower = getattr(network, "vision", None)
    if not config.encode_once or tower is None or audit.parts["vision"].trainable:
        return
    on_gpu = config.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    tower.eval().to(device)
    built.data.encode_pictures(lambda pixels: tower(pixels.to(device)))
    tower.cpu()


def make_tokenizer(config: DictConfig) -> Any:
    """The tokenizer of a config's base.

    Raises:
        ValueError: none is named, or the one named is not to be had.
    """
    source = config.model.tokenizer or config.model.base
    if source is None:
        raise ValueError("model.tokenizer is not set, nor is model.base; name one of them")
    return made(config.model.load_tokenizer)(source)


def make_data(config: DictConfig, task: Any, tokenizer: Any, **changes: Any) -> Any:
    """The data module of a config, single options of it replaced."""
    # What a network asks of its data beyond that: how texts are collated, how pictures are made square.
    asked = {} if OmegaConf.select(config, "model.data") is None else dict(made(config.model.data))
    given = {**asked, "image_size": config.model.image_size, "cache_dir": config.paths.cache_dir, **changes}
    return made(config.data)(task=task, tokenizer=tokenizer, **given)


def build_trainer(config: DictConfig, callbacks: list[Any], *, with_loggers: bool) -> Any:
    """The Lightning trainer of the config, with the run's own callbacks.

    Raises:
        ValueError: a setting that Lightning refuses.
    """
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from vl_dora.lightning_modules.checkpoint_files import PlainCheckpointIO
    from vl_dora.lightning_modules.progress import TrainingBar

    _quieten()
    settings = plain(config.trainer)
    if settings.get("enable_progress_bar"):
        callbacks = [TrainingBar(), *callbacks]
    loggers = [made(one) for one in config.logger.values()] if with_loggers else False
    try:
        return made(config.trainer)(
            callbacks=callbacks,
            logger=loggers,
            plugins=[PlainCheckpointIO()],
            default_root_dir=config.paths.run_dir,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, TypeError) as error:
        raise ValueError(f"trainer: {' '.join(str(error).split())}") from error


def _quieten() -> None:
    """Keeps advice and internal notes of Lightning out of a run's log."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)


def made(node: Any) -> Any:
    """The object, or with `_partial_` the function, that a config node names; it gets plain values.

    Raises:
        ValueError: what the object itself refused.
    """
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError | FileNotFoundError):
            raise error.__cause__ from None
        raise


def plain(node: Any) -> Any:
    """A config node as plain dicts and lists, references resolved."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
