"""Lets the folder of a sweep be named after its choices, as the folder of a single run is."""

from __future__ import annotations

from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class NameByChoices(Callback):
    """Tells Hydra's resolver `hydra:` of the sweep; by itself it knows of single jobs only."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Before the sweeper reads `hydra.sweep.dir`, which holds `${hydra:runtime.choices.experiment}`."""
        HydraConfig.instance().set_config(config)
