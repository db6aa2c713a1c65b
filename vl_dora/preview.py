"""Checks a data set before anything is trained on it: python -m vl_dora.preview experiment=vqa

The config is the one of `train`. A report goes to standard output and a page with samples to `preview.out`;
the exit status is 1 where something was found that would stop a run or falsify its score.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch


def preview(config: DictConfig) -> dict[str, Any]:
    """Writes report and page of a composed config; returns the report.

    Raises:
        ValueError: an option outside what is allowed, or a data folder that is not there.
    """
    from vl_dora.building import made, make_data, make_tokenizer, plain
    from vl_dora.reports.preview_page import require_replaceable, write_preview_page
    from vl_dora.reports.preview_table import preview_table
    from vl_dora.reports.progress import progress_bar

    if config.output not in ("table", "json"):
        raise ValueError(f"output={config.output} must be table or json")
    options = plain(config.preview)
    page = None if options["out"] is None else Path(str(options.pop("out"))).expanduser().absolute()
    options.pop("out", None)
    if page is not None:
        require_replaceable(page)
    task, tokenizer = made(config.task), make_tokenizer(config)
    data = make_data(config, task, tokenizer)
    data.prepare_data()
    with progress_bar() as progress:
        found = made(config.inspect)(data, limits=limits_of(config), progress=progress, **options)
    report = {**_choices(config), **found.report}
    samples, refused = _with_visual_tokens(config, found.samples)
    if refused:
        _add_error(report, f"the network cannot read {len(refused)} of the samples shown", refused)
    if page is not None:
        write_preview_page(report, samples, tokenizer, page)
        report["page"] = str(page)
    text = (
        json.dumps(report, indent=2, ensure_ascii=False) if config.output == "json" else preview_table(report)
    )
    sys.stdout.write(f"{text}\n")
    return report


def limits_of(config: DictConfig) -> dict[str, Any]:
    """What the network and generation allow of a sample, as far as the config tells."""
    generation = OmegaConf.select(config, "generation") or {}
    by_task = {
        name: fields.get("max_new_tokens") for name, fields in (generation.get("by_task") or {}).items()
    }
    tokens = {"": generation.get("max_new_tokens"), **{k: v for k, v in by_task.items() if v is not None}}
    return {
        "positions": OmegaConf.select(config, "model.network.text.max_position_embeddings"),
        "max_images": OmegaConf.select(config, "model.network.max_images"),
        "max_new_tokens": tokens,
    }


def _with_visual_tokens(config: DictConfig, samples: Any) -> tuple[list[Any], list[str]]:
    """The samples with the number of visual tokens that an encoder reads of each, and why it refuses some.

    The network runs on the meta device, on shapes alone.
    """
    from vl_dora.plan import network_on_meta
    from vl_dora.reports.preview_page import PreviewSample

    network = network_on_meta(config)
    shown, refused = [], []
    for sample in samples:
        batch, num_visual = sample.batch, 0
        # A decoder-only network's visual tokens lie among the others.
        if batch.prompt_lengths is None:
            try:
                states, _ = network.encode(batch.to("meta"))
                num_visual = states.shape[1] - batch.input_ids.shape[1]
            except (ValueError, RuntimeError) as error:
                refused.append(f"{sample.where}: {' '.join(str(error).split())}")
        shown.append(PreviewSample(**vars(sample), num_visual=num_visual))
    return shown, refused


def _add_error(report: dict[str, Any], text: str, examples: list[str]) -> None:
    finding = {"level": "error", "check": "network", "text": text, "examples": examples}
    report["tasks"][0]["splits"][0]["findings"].append(finding)
    report["errors"] += 1


def _choices(config: DictConfig) -> dict[str, Any]:
    from hydra.core.hydra_config import HydraConfig

    words = ["experiment", "model", "data"]
    chosen = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    return {word: chosen.get(word) for word in words}


def main() -> None:
    """The command line."""

    def run(config: DictConfig) -> None:
        if preview(config)["errors"]:
            raise SystemExit(1)

    launch("preview", run)


if __name__ == "__main__":
    main()
