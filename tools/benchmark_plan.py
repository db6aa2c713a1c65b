"""Planned memory against measured: python tools/benchmark_plan.py [--out FILE] [--steps 3] [--runs 0 4]

Every row is one run of the embedded world in a process of its own: Lightning trains for some steps on a CPU,
then the plan is made of the largest batch that was seen. Measured are, each over a training of its own,

process    how much the process grew in memory at its highest (Linux: VmHWM), and the weights there before
allocator  the highest sum of what torch's own allocator reported (torch.profiler), and the weights

A first training of one step makes whatever is made once in a process. Memory that is freed goes back to the
system at once (glibc's thresholds are set so), else the process would stay as large as all it ever held.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import os
import platform
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import hydra

MIB = 2**20


def small(path: str, **numbers: int) -> tuple[str, ...]:
    """Options for a drawn world with so many pictures (conversations, sets) a split."""
    return tuple(f"{path}.embedded.{split}={number}" for split, number in numbers.items())


VQA = ("experiment=vqa", *small("data", train=45, val=4, test=4, composition=4))
LLAVA = ("experiment=llava_instruct", *small("data", train=80, val=4, test=4))
MIXTURE = (
    "experiment=vl_bart_image",
    "data.order=balanced",
    *small("data.parts.vqa", train=24, val=4, test=4, composition=4),
    *small("data.parts.gqa", train=24, val=4, testdev=4),
    *small("data.parts.nlvr2", train=16, dev=4, test1=4),
    *small("data.parts.caption", train=24, val=4, test=4),
)
RUNS = (
    (*VQA, "adapter=dora", "data.batch_size=96"),
    (*VQA, "adapter=dora", "data.batch_size=192"),
    (*VQA, "adapter=lora", "data.batch_size=96"),
    (*VQA, "adapter=lora", "data.batch_size=192"),
    (*VQA, "adapter=full", "data.batch_size=96"),
    (*VQA, "adapter=full", "data.batch_size=192"),
    (*LLAVA, "data.batch_size=32"),
    (*LLAVA, "data.batch_size=64", "model.network.checkpointing=true"),
    (*MIXTURE, "data.batch_size=96"),
)
# Small worlds beside the pictures of training, and nothing but training.
PLAIN = (
    "paths.run_dir=unused",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "+trainer.limit_val_batches=0",
    "trainer.val_check_interval=null",
    "trainer.check_val_every_n_epoch=1",
)
# Imported once, before the processes of the rows branch off.
PRELOADED = (
    "lightning",
    "vl_dora.planned_run",
    "vl_dora.models.vl_bart",
    "vl_dora.lightning_modules.vl_bart",
)
# A block of at least so many bytes is a mapping of its own, which goes when it is freed.
GLIBC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--steps", type=int, default=3, help="optimizer steps of every training, at least 2")
    parser.add_argument(
        "--runs", type=int, nargs="*", help="numbers of the rows to make, from 0; default: all"
    )
    options = parser.parse_args()
    os.environ.update(GLIBC)  # read by processes when they start
    chosen = [RUNS[number] for number in options.runs] if options.runs else list(RUNS)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    lines = [
        f"{platform.machine()}, one thread, {time.strftime('%Y-%m-%d')}, {options.steps} steps; MiB",
        "",
        "| run | activations | planned | process | allocator | planned / process | planned / allocator |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as worlds:
        for run in chosen:
            with context.Pool(1) as pool:
                sizes = pool.apply(compared, (run, options.steps, worlds))
            activations, planned, process, allocator = sizes
            shown = " | ".join(f"{size / MIB:.0f}" for size in sizes)
            ratios = f"{planned / process:.3f} | {planned / allocator:.3f}"
            name = " ".join(word for word in run if ".embedded." not in word)
            lines.append(f"| `{name}` | {shown} | {ratios} |")
            print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def compared(run: tuple[str, ...], steps: int, worlds: str) -> tuple[int, int, int, int]:
    """Bytes of activations as planned, of the peak as planned, as the process grew, as torch allocated."""
    import torch

    from vl_dora.planned_run import PlannedRun

    torch.set_num_threads(1)
    overrides = [*run, *PLAIN, f"paths.cache_dir={worlds}"]
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        config = hydra.compose("plan", overrides)
    process, allocator, largest = measured(config, steps)
    if "parts" not in config.data:  # of a mixture each task has a largest batch; the plan looks them up
        for name, size in largest.items():
            config.batch[name] = size
    planned = PlannedRun.of(config, "cpu", None)
    cost = planned.costs[planned.largest]
    return cost.activations, cost.peak, process, allocator


def measured(config: Any, steps: int) -> tuple[int, int, dict[str, int]]:
    """Bytes by the process and by the allocator, and the sizes of the largest batch that was seen."""
    from torch.profiler import ProfilerActivity, profile

    from vl_dora.building import build, encode_pictures

    built = build(config)
    built.data.prepare_data()
    built.data.setup("fit")
    encode_pictures(config, built)
    network = built.module.network
    weights = sum(t.numel() * t.element_size() for t in [*network.parameters(), *network.buffers()])
    fitted(config, built, 1)
    before = resident()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest size begins anew
    largest = fitted(config, built, steps)
    process = status("VmHWM") - before + weights
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        fitted(config, built, steps)
    events = [e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"]
    total = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        highest = max(highest, total)
    return process, highest + weights, largest


def fitted(config: Any, built: Any, steps: int) -> dict[str, int]:
    """Trains with a new optimizer, and leaves nothing behind but the weights; sizes of the largest batch."""
    import lightning

    from vl_dora.building import build_trainer

    largest: dict[str, int] = {}

    class Sizes(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if batch.input_ids.numel() > largest.get("numbers", 0):
                largest.update(sizes_of(batch), numbers=batch.input_ids.numel())

    config = config.copy()
    config.trainer.max_steps = steps
    trainer = build_trainer(config, [Sizes()], with_loggers=False)
    trainer.fit(built.module, built.data)
    network = built.module.network
    network.zero_grad()
    network.to(next(network.parameters()).dtype)  # adapters forget what they keep for a step
    del trainer
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    largest.pop("numbers")
    return largest


def sizes_of(batch: Any) -> dict[str, int]:
    """Prompt tokens, target tokens (supervised ones of a row, for a decoder-only network), pictures."""
    rows, width = batch.input_ids.shape
    joined = batch.labels.shape == batch.input_ids.shape
    targets = round(int((batch.labels != -100).sum()) / rows) if joined else batch.labels.shape[1]
    pictures = 0 if batch.image_mask is None else batch.image_mask.shape[1]
    return {"prompt_tokens": width, "target_tokens": targets, "pictures": pictures}


def resident() -> int:
    """Bytes of this process in memory now."""
    return status("VmRSS")


def status(name: str) -> int:
    """Bytes of a line of /proc/self/status (Linux)."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None, name
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
