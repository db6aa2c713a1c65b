"""Saves another project's adapter in PEFT's format: python -m vl_dora.convert from=LAST.pth out=adapter

The network it is for is chosen as in train (`experiment=vqa model=vl_bart_image`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vl_dora.entry_point import launch

log = logging.getLogger(__name__)


def convert(config: DictConfig) -> Any:
    """Imports the adapter onto the configured network and saves it; returns the audit."""
    import lightning

    from vl_dora.adapters import import_adapter, save_adapter
    from vl_dora.building import made
    from vl_dora.whole_folder import whole_folder

    source, out = (Path(str(config[key])).expanduser().absolute() for key in ("from", "out"))
    if not source.exists():  # before a network is made
        raise FileNotFoundError(f"from={source} does not exist; give an adapter file or directory")
    lightning.seed_everything(config.seed, verbose=False)
    with whole_folder(out) as draft:
        network = made(config.model.network).eval()
        if config.model.base is not None:
            made(config.model.load_base)(network, config.model.base)
        audit = import_adapter(network, source, on_drift=config.on_drift)
        save_adapter(network, draft)
    log.info("%s\n%s", audit.table(), out)
    return audit


def main() -> None:
    """The command line."""
    launch("convert", convert)


if __name__ == "__main__":
    main()
