"""Where an evaluation of a run lies, and what its answers depend on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vl_dora.building import plain

# What no answer depends on.
_IDLE = (
    *("paths", "logger", "hydra", "checkpoint", "optim", "baselines", "objective", "analysis", "ckpt_path"),
    "trial",
)
_IDLE_TRAINER = ("enable_progress_bar", "max_steps", "max_epochs", "val_check_interval", "log_every_n_steps")


def about(config: DictConfig, data: Any, checkpoint: Path | None) -> dict[str, Any]:
    """What the answers of an evaluation depend on: the config, the weights and the samples, by digests.

    Args:
        config: of the evaluation.
        data: its data module, set up.
        checkpoint: the weights that were trained; None where nothing was.
    """
    kept = {key: value for key, value in plain(config).items() if key not in _IDLE}
    kept["data"] = {k: v for k, v in kept["data"].items() if k != "num_workers"}
    kept["trainer"] = {k: v for k, v in kept["trainer"].items() if k not in _IDLE_TRAINER}
    samples = hashlib.sha256()
    for part in getattr(data, "parts", {"": data}).values():
        if part.evaluation_split is not None:
            for example in part.examples(part.evaluation_split):
                samples.update(repr(example).encode())
    weights = hashlib.sha256(checkpoint.read_bytes()).hexdigest() if checkpoint else None
    return {"config": kept, "checkpoint": weights, "samples": samples.hexdigest()}


def evaluation_folder(run_dir: Path, config: DictConfig, data: Any, benchmark: str | None = None) -> Path:
    """`<run>/evaluations/<benchmark>`, or the split and the folder scored; what is unusual is in the name."""
    if benchmark is not None:
        usual = data.evaluation_split == config.data.splits.test
        words = [benchmark, "" if usual else str(data.evaluation_split)]
    else:
        words = [str(data.evaluation_split), Path(config.data.root).name if config.data.root else ""]
    words.append("blind" if data.blind else "")
    name = "-".join(word for word in words if word).replace("/", "_").replace(":", "_")
    return run_dir / "evaluations" / name
