"""What a scored split leaves behind: results, predictions, submission files, a page of samples."""

from __future__ import annotations

import json
import math
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vl_dora.building import Built, made, make_data
from vl_dora.peak_memory import peak_memory
from vl_dora.provenance import git_state, hardware, versions
from vl_dora.repeating import chosen, repeats

_LEVEL = 0.95


def scored(config: DictConfig, built: Built) -> dict[str, Any]:
    """The figures of the module's last outcome: scores, interval, by type, and baselines beside them."""
    outcome, data = built.module.outcome, built.data
    facts: dict[str, Any] = {
        "task": built.task.name,
        "split": data.evaluation_split,
        "data_folder": str(data.folder),
        "blind": data.blind,
        "samples": len(outcome.predictions),
        "skipped": {split: len(messages) for split, messages in data.skipped.items()},
        "headline": built.task.headline,
    }
    if outcome.report is None:
        empty = ("scores", "interval", "intervals", "by_type", "baselines")
        return {**facts, **dict.fromkeys(empty)}
    figures = {**figures_of(outcome.report), "baselines": _baselines(config, built)}
    return {**facts, **figures}


def figures_of(report: Any) -> dict[str, Any]:
    """Scores, 95 % intervals (of the headline, and of every score that has one) and breakdowns, percent.

    The intervals are those that `vl_dora.score` gives of the same predictions.
    """
    from vl_dora.metrics.resampling import intervals_of

    clusters = [report.clusters.get(name, name) for name in report.per_sample]
    found = intervals_of(report.weighted(), clusters, level=_LEVEL)
    low, high = found[next(iter(report.scores))]
    return {
        "scores": report.scores,
        "interval": {"level": _LEVEL, "low": low, "high": high, "clusters": len(set(clusters))},
        "intervals": {
            name: list(found[name])
            for name in report.scores
            if name in found and not math.isnan(found[name][0])
        },
        "by_type": report.by_type,
    }


def _baselines(config: DictConfig, built: Built) -> dict[str, Any] | None:
    """Scores that need no picture, from the training split's answers; None where there is no such split."""
    # Read blind: the pictures of the training split need not be at hand.
    known = make_data(config, built.task, built.data.tokenizer, blind=True).known_examples()
    if known is None:
        return None
    asked = [p.example for p in built.module.outcome.predictions]
    found = {}
    for name, node in config.baselines.items():
        report = made(node)(built.task, known, asked)
        if report is None:  # not to be had of these samples
            continue
        found[name] = {"scores": report.scores, "by_type": report.by_type}
    return found


def circumstances(config: DictConfig, built: Built) -> dict[str, Any]:
    """What was run, with what, and how large it was."""
    import torch

    audit = built.module.audit
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "trainable": audit.trainable,
        "total": audit.total,
        "share_percent": audit.share_percent,
        **chosen(config),
        "seed": config.seed,
        "peak_memory_mib": peak_memory(),
        "device": accelerator or f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "versions": versions(),
        "command": command(),
    }


def provenance(config: DictConfig) -> dict[str, Any]:
    """What a run is started by, known before its first step."""
    return {
        **chosen(config),
        "seed": config.seed,
        "command": command(),
        "repeats": repeats(config),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "git": git_state(),
        "hardware": hardware(),
    }


def command() -> str:
    """The command line that started this process."""
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    words = ["python", "-m", main.name] if main is not None else [Path(sys.argv[0]).name]
    return shlex.join([*words, *sys.argv[1:]])


def write_outcome(built: Built, folder: Path, results: Mapping[str, Any], *, title: str) -> None:
    """Writes predictions, submission files, the page of samples and, last, `results.json`."""
    from vl_dora.reports.files import whole_file
    from vl_dora.reports.results import write_results
    from vl_dora.reports.samples_page import write_samples_page

    outcome = built.module.outcome
    per_sample = outcome.report.per_sample if outcome.report else {}
    clusters = outcome.report.clusters if outcome.report else {}
    with whole_file(folder / "predictions.jsonl") as draft:
        lines = (json.dumps(_line(p, per_sample, clusters), ensure_ascii=False) for p in outcome.predictions)
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    built.task.write_submission(outcome.predictions, folder / "submission")
    if per_sample:
        page = folder / "samples.html"
        counted = [p for p in outcome.predictions if p.id in per_sample]
        write_samples_page(
            counted,
            per_sample,
            built.data.folder,
            page,
            title=title,
            read_clip=built.data.read_clip,
        )
    write_results(folder / "results.json", results)


def _line(prediction: Any, per_sample: Mapping[str, float], clusters: Mapping[str, str]) -> dict[str, Any]:
    example = prediction.example
    clip = example.frames
    seen = {"path": clip.path, "indices": clip.indices, "times": clip.times} if clip is not None else None
    return {
        "id": prediction.id,
        "prompt": example.prompt,
        "images": [i.path if i.index is None else f"{i.path}#{i.index}" for i in example.images],
        **({"frames": seen} if seen else {}),
        "text": prediction.text,
        "target": example.target,
        "answers": list(example.answers),
        "score": per_sample.get(prediction.id),
        "cluster": clusters.get(prediction.id, prediction.id),
        "groups": dict(example.groups),
    }


def summary(results: Mapping[str, Any]) -> str:
    """The result in a few lines."""
    where = f"{results['task']}, split {results['split']}, {results['samples']} samples"
    if results["scores"] is None:
        return f"{where}: no answers to score; predictions are written"
    lines = [where]
    for name, value in results["scores"].items():
        ends = results["intervals"].get(name)
        bounds = f"  [{ends[0]:.1f}, {ends[1]:.1f}]" if ends else ""
        beside = [(k, f["scores"][name]) for k, f in (results["baselines"] or {}).items()]
        before = results.get("before")
        beside += [("before training", before["scores"][name])] if before and before["scores"] else []
        others = ", ".join(f"{k.replace('_', ' ')} {v:.1f}" for k, v in beside)
        lines.append(f"  {name} {value:.1f} %{bounds}" + (f"   ({others})" if others else ""))
    return "\n".join(lines)
