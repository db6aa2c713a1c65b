"""From a config to objects: the only place where classes named in configs are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf


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
    task = instantiate(config.task, _convert_="all")
    source = model.tokenizer or model.base
    if source is None:
        raise ValueError("model.tokenizer is not set, nor is model.base; name one of them")
    tokenizer = instantiate(model.load_tokenizer)(source)
    data = instantiate(config.data, _convert_="all")(
        task=task, tokenizer=tokenizer, image_size=model.image_size, cache_dir=config.paths.cache_dir
    )
    network = instantiate(model.network, _convert_="all")
    if model.base is not None:
        instantiate(model.load_base)(network, model.base)
    module = instantiate(model.module)(
        network=network,
        task=task,
        tokenizer=tokenizer,
        selection=plain(config.adapter),
        optimizer=instantiate(config.optim, _convert_="all"),
        generation=plain(config.generation),
    )
    return Built(task, data, module)


def build_trainer(config: DictConfig, callbacks: list[Any], *, logging: bool) -> Any:
    """The Lightning trainer of the config, with the run's own callbacks.

    Raises:
        ValueError: a setting that Lightning refuses.
    """
    from lightning.pytorch.callbacks import RichProgressBar
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    settings = plain(config.trainer)
    if settings.get("enable_progress_bar"):
        callbacks = [RichProgressBar(), *callbacks]
    loggers = [instantiate(one) for one in config.logger.values()] if logging else False
    try:
        return instantiate(config.trainer, _convert_="all")(
            callbacks=callbacks,
            logger=loggers,
            default_root_dir=config.paths.run_dir,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, TypeError) as error:
        raise ValueError(f"trainer: {' '.join(str(error).split())}") from error


def plain(node: Any) -> Any:
    """A config node as plain dicts and lists, references resolved."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
