"""Writes what a run learned: python -m vl_dora.export run=<run directory> to=peft|merged|base

`to=base` writes what the run started from as `to=merged` writes what it ended with: for LLaVA a folder of
plain transformers, on which plain PEFT puts the adapter.

Nothing is left behind unless the written files, read back onto a fresh network, answer samples of the run's
own data as the run does, within the tolerance of the dtype (`vl_dora.agreement`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch

log = logging.getLogger(__name__)

_OWN = ("run", "to", "dtype", "out", "ckpt_path", "samples", "save_base")


def export(changes: DictConfig) -> Path:
    """Writes the adapter, the merged network or the base of a finished run; returns the folder."""
    from vl_dora.agreement import TOLERANCES, compare
    from vl_dora.building import build, plain
    from vl_dora.evaluate import changed, checkpoint_of
    from vl_dora.run_directory import read_config, settle_paths
    from vl_dora.whole_folder import whole_folder

    to, dtype, count = changes.to, changes.dtype, changes.samples
    if to not in _USE:
        raise ValueError(f"to={to} must be one of {', '.join(_USE)}")
    if dtype not in TOLERANCES:
        raise ValueError(f"dtype={dtype} must be one of {', '.join(TOLERANCES)}")
    if to == "peft" and dtype != "float32":
        raise ValueError(f"dtype={dtype} means nothing to to=peft, whose adapters are float32; leave it out")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"samples={count} must be a whole number of at least 1")
    run_dir = Path(str(changes.run)).expanduser().absolute()
    given = OmegaConf.masked_copy(changes, [str(key) for key in changes if key not in _OWN])
    config = changed(read_config(run_dir), given)
    config.paths.run_dir = str(run_dir)
    settle_paths(config)
    name = to if dtype == "float32" else f"{to}-{dtype}"
    out = Path(changes.out).expanduser().absolute() if changes.out else run_dir / "exported" / name
    if to == "base":
        OmegaConf.update(config, "adapter", {}, merge=False)
    with whole_folder(out) as draft:
        built = build(config)
        module, data = built.module, built.data
        if module.audit.trainable:
            module.load_checkpoint(checkpoint_of(run_dir, changes.ckpt_path))
        elif to != "base":
            raise ValueError(
                f"run={run_dir} trained nothing (adapter=frozen); its base is written by to=base"
            )
        _give_chat_template(built)
        data.prepare_data()
        data.setup("test")
        if to == "peft":
            twin = _write_adapter(draft, config, built, count)
        else:
            twin = _write_merged(draft, config, changes, built, dtype)
        agreement = compare(
            module.network, twin, _first(data, count), module.tokenizer, plain(config.generation)
        )
        agreement.check(dtype)
        (draft / "generation.json").write_text(json.dumps(plain(config.generation), indent=2) + "\n", "utf-8")
        _write_card(draft, run_dir, config, built, to, dtype, agreement)
    log.info(
        "%d samples: logits differ by at most %.2e, %d texts differ\n%s",
        len(agreement.samples),
        agreement.difference,
        agreement.other_texts,
        out,
    )
    return out


def _fresh(config: DictConfig, base: str | None) -> Any:
    from vl_dora.building import made

    network = made(config.model.network)
    if base is not None:
        made(config.model.load_base)(network, base)
    return network


def _give_chat_template(built: Any) -> None:
    """Puts beside the tokenizer how the run wrote conversations, for whoever reads the folder without us."""
    parts = getattr(built.data, "parts", {"": built.data})
    collate = next(iter(parts.values())).collate
    if hasattr(collate, "chat_template"):
        built.module.tokenizer.chat_template = collate.chat_template()


def _tell_of_other_tokens(words: Any, built: Any, count: int) -> None:
    """Warns where transformers' processor, with its tokenizer `words`, makes other tokens of prompts."""
    collate: Any = getattr(built.data, "collate", None)
    if words is None or not hasattr(collate, "told_otherwise"):
        return
    asked = [e for e in built.data.examples(built.data.evaluation_split) if e.frames is None][:count]
    other = collate.told_otherwise(words, asked)
    if other:
        log.warning(
            "the processor written makes other tokens of %d of %d prompts than this run had (sample %s): in "
            "plain transformers answers may differ there",
            len(other),
            len(asked),
            other[0],
        )


def _write_adapter(draft: Path, config: DictConfig, built: Any, count: int) -> Any:
    """Writes the adapter and what makes its network's input; returns a fresh base that read them."""
    import lightning

    from vl_dora.adapters import load_adapter, save_adapter
    from vl_dora.building import made

    save_adapter(built.module.network, draft)
    save_processor = OmegaConf.select(config, "model.save_processor")
    if save_processor is None:
        built.module.tokenizer.save_pretrained(draft)
    else:
        words = made(save_processor)(built.module.network, built.module.tokenizer, draft)
        _tell_of_other_tokens(words, built, count)
    # What no base brings is drawn from the seed, in the order in which the run drew it.
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    twin = _fresh(config, config.model.base)
    load_adapter(twin, draft)
    return twin


def _write_merged(draft: Path, config: DictConfig, changes: DictConfig, built: Any, dtype: str) -> Any:
    """Writes the merged network, weights in `dtype`; returns a fresh network that read it."""
    import torch

    from vl_dora.adapters import plain_state
    from vl_dora.building import made, plain

    network = _fresh(config, None)
    network.load_state_dict(plain_state(built.module.network), strict=True)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(getattr(torch, dtype))
    save = OmegaConf.select(config, "model.save_base") or changes.save_base
    facts = {
        "network": plain(config.model.network),
        "merged_from": {"base": config.model.base, "adapter": plain(config.adapter) or None},
        "dtype": dtype,
    }
    _tell_of_other_tokens(made(save)(network, built.module.tokenizer, draft, facts), built, changes.samples)
    return _fresh(config, str(draft))


def _first(data: Any, count: int) -> Iterator[Any]:
    """Batches of the split to score, until they hold `count` samples or there are no more."""
    loaders = data.test_dataloader()
    seen = 0
    for loader in loaders if isinstance(loaders, list) else [loaders]:
        for batch in loader:
            if seen >= count:
                return
            if isinstance(batch, ValueError):
                raise batch
            seen += len(batch)
            yield batch


def _write_card(
    draft: Path, run_dir: Path, config: DictConfig, built: Any, to: str, dtype: str, agreement: Any
) -> None:
    from vl_dora.agreement import TOLERANCES
    from vl_dora.reports.model_card import model_card, write_model_card
    from vl_dora.reports.results import read_results
    from vl_dora.run_report import command

    try:
        results = read_results(run_dir)
    except (FileNotFoundError, ValueError):
        results = None
    logits, percent = TOLERANCES[dtype]
    audit = built.module.audit
    facts = {
        "base": str(config.model.base or "random weights"),
        "data": f"{built.task.name}, {Path(str(built.data.folder)).name}",
        "method": "; ".join(f"{row.rule}: {row.method}" for row in audit.rows if row.trainable) or "none",
        "trained": f"{audit.trainable:,} of {audit.total:,} parameters ({audit.share_percent:.2f} %)",
        "weights": dtype,
        "generation": ", ".join(f"{key} {value}" for key, value in config.generation.items()),
        "trained by": str((results or {}).get("command", "not recorded")),
        "exported by": command(),
        "checked": (
            f"{len(agreement.samples)} samples of split {built.data.evaluation_split}: logits differ by "
            f"at most {agreement.difference:.2e} (allowed: {logits:.0e}), {agreement.other_texts} texts "
            f"differ (allowed: {percent:g} %)"
        ),
    }
    title = f"{built.task.name}: {_NAMES[to]}"
    plainly = (draft / "config.json").is_file() or hasattr(built.module.network, "adapter_root")
    use = _PLAINLY[to] if plainly else _USE[to]
    # Scores are of what was trained.
    write_model_card(draft, model_card(title, use, facts, None if to == "base" else results))


_NAMES = {"peft": "adapter", "merged": "merged network", "base": "base"}
_USE = {
    "peft": "from vl_dora.adapters import load_adapter\n"
    "load_adapter(network, '<this folder>')   # a fresh base; plain PEFT: PeftModel.from_pretrained",
    "merged": "python -m vl_dora.train experiment=<the run's> model.base=<this folder> adapter=frozen",
    "base": "python -m vl_dora.train experiment=<the run's> model.base=<this folder>",
}
_WHOLE = (
    "from transformers import AutoProcessor, LlavaForConditionalGeneration\n"
    "processor = AutoProcessor.from_pretrained('<this folder>')\n"
    "model = LlavaForConditionalGeneration.from_pretrained('<this folder>')"
)
_PLAINLY = {
    "merged": _WHOLE,
    "base": _WHOLE,
    "peft": "from peft import PeftModel\n"
    "from transformers import AutoProcessor, LlavaForConditionalGeneration\n"
    "processor = AutoProcessor.from_pretrained('<this folder>')\n"
    "base = LlavaForConditionalGeneration.from_pretrained('<base>')   # of to=base, or llava-hf's\n"
    "model = PeftModel.from_pretrained(base, '<this folder>')",
}


def main() -> None:
    """The command line."""
    launch("export", export)


if __name__ == "__main__":
    main()
