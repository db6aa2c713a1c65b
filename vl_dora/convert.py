"""Saves another project's adapter: python -m vl_dora.convert from=LAST.pth out=adapter [to=peft|merged]

The network it is for is chosen as in train (`experiment=vqa model=vl_bart_image`). `to=peft` writes the
adapter in PEFT's format, `to=merged` the network with it folded in, which `model.base=<out>` reads.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch

log = logging.getLogger(__name__)

TO = ("peft", "merged")


def convert(config: DictConfig) -> Any:
    """Imports the adapter onto the configured network and saves it; returns the audit."""
    import lightning

    from vl_dora.adapters import import_adapter, save_adapter
    from vl_dora.building import made, make_tokenizer
    from vl_dora.whole_folder import whole_folder

    if config.to not in TO:
        raise ValueError(f"to={config.to} must be {' or '.join(TO)}")
    source, out = (Path(str(config[key])).expanduser().absolute() for key in ("from", "out"))
    if not source.exists():  # before a network is made
        raise FileNotFoundError(f"from={source} does not exist; give an adapter file or directory")
    lightning.seed_everything(config.seed, verbose=False)
    with whole_folder(out) as draft:
        network = made(config.model.network).eval()
        if config.model.base is not None:
            made(config.model.load_base)(network, config.model.base)
        audit = import_adapter(network, source, on_drift=config.on_drift)
        if config.to == "peft":
            save_adapter(network, draft)
        else:
            _save_merged(network, make_tokenizer(config), draft, config)
    log.info("%s\n%s", audit.table(), out)
    return audit


def _save_merged(network: Any, tokenizer: Any, draft: Path, config: DictConfig) -> None:
    from vl_dora.adapters import plain_state
    from vl_dora.building import made, plain

    save = OmegaConf.select(config, "model.save_base")
    if save is None:
        raise ValueError(
            "to=merged needs model.save_base, which tells how this model is written; see conf/model"
        )
    merged = made(config.model.network)
    merged.load_state_dict(plain_state(network), strict=True)
    collate = OmegaConf.select(config, "model.data.collate")
    if collate is not None:
        collate = made(collate)(tokenizer)
        if hasattr(collate, "chat_template"):
            tokenizer.chat_template = collate.chat_template()
    facts = {
        "network": plain(config.model.network),
        "merged_from": {"base": config.model.base, "adapter": str(config["from"])},
    }
    made(save)(merged, tokenizer, draft, facts)


def main() -> None:
    """The command line."""
    launch("convert", convert)


if __name__ == "__main__":
    main()
