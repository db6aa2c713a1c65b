"""Where a run lies that is to be used: a folder on this machine, or a repository on the Hugging Face hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from omegaconf import DictConfig

from vl_dora.run_directory import CHECKPOINTS, CONFIG, read_config

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# What an export holds; it tells weights, not task and model.
_EXPORTS = ("adapter_config.json", "network.json")
_NEEDED = (CONFIG, f"{CHECKPOINTS}/*.ckpt")


def find_run(given: str) -> Path:
    """The folder of a run; a hub id is fetched into the hub's cache where it is not there yet.

    Raises:
        FileNotFoundError: neither a folder nor a repository that can be had.
    """
    folder = Path(given).expanduser()
    if folder.exists() or not _HUB_ID.fullmatch(given) or given.startswith((".", "~")):
        return folder.absolute()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(given, allow_patterns=list(_NEEDED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
        reason = "HF_HUB_OFFLINE is set" if offline else (str(error).strip().splitlines() or [""])[0]
        raise FileNotFoundError(
            f"run={given} is neither a folder nor a repository of the hub that can be had ({reason}); give a "
            "run directory, as vl_dora.train writes it"
        ) from None


def run_config(run_dir: Path) -> DictConfig:
    """The config of a run directory.

    Raises:
        FileNotFoundError, ValueError: the folder is none that `vl_dora.train` made.
    """
    export = next((name for name in _EXPORTS if (run_dir / name).is_file()), None)
    if export is not None and not (run_dir / CONFIG).is_file():
        raise ValueError(
            f"run={run_dir} is an export: its {export} tells neither task nor data; give the run directory "
            "that it was made of"
        )
    return read_config(run_dir)
