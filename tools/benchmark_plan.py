"""Planned memory against measured: python tools/benchmark_plan.py [--out FILE] [--steps 4]

Every row is one run of the embedded world in a process of its own: the plan is made, then the same config is
trained for some steps by Lightning on a CPU, and its highest resident size is read; measured is what
training added to the process, and the weights that were there already. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import resource
import time
from pathlib import Path
from typing import Any

import hydra

MIB = 2**20
RUNS = (
    ("experiment=vqa", "adapter=dora", "data.batch_size=256"),
    ("experiment=vqa", "adapter=lora", "data.batch_size=256"),
    ("experiment=vqa", "adapter=full", "data.batch_size=256"),
    ("experiment=vqa", "adapter=dora", "data.batch_size=512"),
    ("experiment=llava_instruct", "data.batch_size=64"),
    ("experiment=llava_instruct", "data.batch_size=128", "model.network.checkpointing=true"),
)

# Training and nothing beside it.
PLAIN = (
    "paths.run_dir=unused",
    "trainer.enable_progress_bar=false",
    "+trainer.limit_val_batches=0",
    "trainer.val_check_interval=null",
    "trainer.check_val_every_n_epoch=1",
)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="also write the table here")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps of every run, at least 2")
    parser.add_argument(
        "--runs", type=int, nargs="*", help="numbers of the rows to make, from 0; default: all"
    )
    options = parser.parse_args()
    chosen = [RUNS[number] for number in options.runs] if options.runs else list(RUNS)
    context = multiprocessing.get_context("spawn")
    lines = [
        f"{platform.machine()}, one thread, {time.strftime('%Y-%m-%d')}, {options.steps} steps a run",
        "",
        "| run | activations MiB | planned peak MiB | measured MiB | planned / measured |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for run in chosen:
        with context.Pool(1) as pool:  # a fresh process, whose highest size is this run's
            planned, activations, measured = pool.apply(compared, (run, options.steps))
        name = " ".join(run)
        ratio = planned / measured
        sizes = " | ".join(f"{size / MIB:.0f}" for size in (activations, planned, measured))
        lines.append(f"| `{name}` | {sizes} | {ratio:.3f} |")
        print(lines[-1], flush=True)
    print("\n".join(lines))
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def compared(run: tuple[str, ...], steps: int) -> tuple[int, int, int]:
    """Bytes planned at the peak, of activations alone, and measured."""
    import torch

    from vl_dora.planned_run import PlannedRun

    torch.set_num_threads(1)
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        config = hydra.compose("plan", [*run, *PLAIN, f"trainer.max_steps={steps}"])
    planned = PlannedRun.of(config.copy(), "cpu", None)
    cost = planned.costs[planned.largest]
    # As large as the longest of what is planned with, so that both speak of the same batch.
    return cost.peak, cost.activations, measured(config)


def measured(config: Any) -> int:
    """Bytes that training adds to this process at its highest, and those of the weights."""
    from vl_dora.building import build, build_trainer, encode_pictures

    built = build(config)
    built.data.setup("fit")
    encode_pictures(config, built)
    batch = next(iter(built.data.train_dataloader()))
    network = built.module.network
    few = batch._map(lambda tensor: tensor[:2])
    network.train()
    network.loss(few).backward()  # whatever is made at the first step alone
    network.zero_grad()
    trainer = build_trainer(config, [], with_loggers=False)
    weights = sum(t.numel() * t.element_size() for t in [*network.parameters(), *network.buffers()])
    before = resident()
    trainer.fit(built.module, built.data)
    return highest() - before + weights


def resident() -> int:
    """Bytes of this process in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()


def highest() -> int:
    """The most that this process ever had in memory (Linux: kilobytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
