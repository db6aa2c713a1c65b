"""Counts what would be trained: python -m vl_dora.plan experiment=vqa [output=json]

The network is built on the meta device: no weights, no data, no network access.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch


def plan(config: DictConfig) -> int:
    """Writes the audit of a composed config to standard output; returns how many numbers would train."""
    if config.output not in ("table", "json"):
        raise ValueError(f"output={config.output} must be table or json")
    audit = audit_of(config)
    text = json.dumps(audit.to_dict(), indent=2) if config.output == "json" else audit.table()
    sys.stdout.write(f"{text}\n")
    return audit.trainable


def audit_of(config: DictConfig) -> Any:
    """What `config.adapter` makes of `config.model.network`, both as they would be trained."""
    from vl_dora.adapters import apply_adapters
    from vl_dora.building import made, plain

    return apply_adapters(network_on_meta(config), plain(config.adapter), default_lr=made(config.optim).lr)


def network_on_meta(config: DictConfig) -> Any:
    """The network of a config without weights: shapes alone."""
    import torch

    from vl_dora.building import made

    # A tower's own weights would be read, or fetched, while it is built.
    if OmegaConf.select(config, "model.network.vision.weights") is not None:
        config.model.network.vision.weights = None
    with torch.device("meta"):
        return made(config.model.network)


def main() -> None:
    """The command line."""
    launch("plan", plan)


if __name__ == "__main__":
    main()
