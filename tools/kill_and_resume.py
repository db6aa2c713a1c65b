"""Kills a training at random moments, lets it go on, and compares what it leaves with an unbroken run.

    python tools/kill_and_resume.py --times 20
    python tools/kill_and_resume.py --kills 4 -- experiment=vl_bart_image debug=fast data.num_workers=2

Every training is a process of its own, ended by SIGKILL: some at any moment after it was started, some while
a checkpoint is being written. It then goes on by `ckpt_path=last` (or is begun again, where the first kill
came before there was a run), and is killed again, `--kills` times in all; then it comes to its end. One that
ends before its last kill, because the machine was faster than expected, does not count: it is told, and run
again with earlier moments. Compared are, bit for bit: final and best weights, optimizer, random generators,
order of samples, every row of the log, predictions and scores. Exit status 1 if any differ, or if a loader
worker outlives its killed training. Linux and macOS.

With the same `--seed` the moments are drawn alike, as shares of the time that a training is expected to take.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

# Imported once, here; every training is forked from this process.
LIBRARIES = ["lightning.pytorch", "transformers", "timm", "torchvision", "torchmetrics", "matplotlib.pyplot"]
LIBRARIES += ["jinja2", "safetensors.torch", "av", "torch.utils.tensorboard", "vl_dora.train"]
LIBRARIES += ["vl_dora.run_report", "vl_dora.lightning_modules.adapter_tuning", "data_modules.data_module"]
DEFAULT = ["experiment=vqa", "debug=fast", "trainer.max_steps=10", "trainer.val_check_interval=9"]
DEFAULT += ["trainer.accumulate_grad_batches=2", "checkpoint.every_n_steps=1", "data.batch_size=6"]
DEFAULT += ["+data.order=grouped", "data.num_workers=1", "evaluate_before=false"]
DEFAULT += [f"data.embedded.{role}=24" for role in ("train", "val", "test", "composition")]
PATIENCE = 30.0  # seconds for which loader workers may outlive their training


@dataclass(frozen=True)
class Pace:
    """How long a training takes, from the unbroken one.

    Args:
        start: seconds until the first checkpoint.
        whole: seconds in all.
        steps: optimizer steps in all.
    """

    start: float
    whole: float
    steps: int

    def left(self, done: int) -> float:
        """Seconds that a training is expected to take from its start on when `done` steps are saved."""
        return self.start + (self.whole - self.start) * (1 - done / self.steps)


@dataclass
class Story:
    """One run that was killed and went on.

    Args:
        moments: of each kill: what was waited for, seconds since the start, step of last.ckpt.
        orphans: loader workers that outlived their training.
        differing: what is not as in the unbroken run.
    """

    moments: list[str] = field(default_factory=list)
    orphans: int = 0
    differing: list[str] = field(default_factory=list)


def started(run_dir: Path, overrides: list[str]) -> int:
    """Forks a training; its process id, which is also its session's."""
    begun = (run_dir / "config.yaml").is_file()
    process = os.fork()
    if process:
        return process
    os.setsid()
    output = os.open(run_dir.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    status = 1
    try:
        from vl_dora.train import main

        sys.argv = ["train", *overrides, f"paths.run_dir={run_dir}", *(["ckpt_path=last"] if begun else [])]
        main()
        status = 0
    except BaseException:  # for the log: this process ends without Python's own end
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(process: int) -> int | None:
    """The exit status, negative for a signal; None while it runs."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def killed(process: int, run_dir: Path, moment: float, in_a_save: bool) -> str | None:
    """Kills a training `moment` seconds after its start, or in the first save then; None if it ended."""
    begin, left = time.monotonic(), drafts(run_dir)  # of an earlier kill: no save of this training
    # A save is waited for from a random moment on, or the first one would always be it.
    while True:
        status, now = ended(process), time.monotonic() - begin
        if status is not None:
            if status:
                raise SystemExit(f"the training failed by itself; see {run_dir.with_suffix('.log')}")
            return None
        if now >= moment and (not in_a_save or drafts(run_dir) - left):
            break
        time.sleep(0.0005 if in_a_save else 0.005)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    half = " (a save half done)" if drafts(run_dir) - left else ""
    step = saved_step(run_dir)
    return f"{now:.1f} s, step {'-' if step is None else step}{half}"


def drafts(run_dir: Path) -> set[tuple[str, int]]:
    """Checkpoints that are not whole yet, by name and time of the last write."""
    found = set()
    for draft in (run_dir / "checkpoints").glob("*.tmp"):
        with suppress(FileNotFoundError):  # it has become a checkpoint meanwhile
            found.add((draft.name, draft.stat().st_mtime_ns))
    return found


def saved_step(run_dir: Path) -> int | None:
    """The step that last.ckpt holds; None where there is none."""
    last = run_dir / "checkpoints" / "last.ckpt"
    return torch.load(last, weights_only=True)["global_step"] if last.is_file() else None


def workers_left(session: int) -> int:
    """Processes of a killed training that are still there after a while."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            os.killpg(session, 0)
        except (ProcessLookupError, PermissionError):
            return 0
        if time.monotonic() > limit:
            os.killpg(session, signal.SIGKILL)
            return 1
        time.sleep(0.1)


def left_by(run_dir: Path) -> dict[str, str]:
    """What a run leaves, by name, as text or digests: all that is to be the same."""
    last, best = (
        torch.load(run_dir / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("last", "best")
    )
    states = {name: state for name, state in last["callbacks"].items() if name != "StepTimes"}  # seconds
    results = json.loads((run_dir / "results.json").read_text())
    with (run_dir / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    facts = {
        "final weights": last["state_dict"],
        "optimizer": [last["optimizer_states"], last["lr_schedulers"]],
        "random states, sample order, best score": states,
        "steps": last["global_step"],
        "best weights": [best["state_dict"], best["global_step"]],
        "losses": [row for row in rows if row["train/loss"]],
        "other log rows": [row for row in rows if not row["train/loss"]],
        "predictions": (run_dir / "predictions.jsonl").read_text(),
        "results": {k: results[k] for k in ("scores", "before", "objective", "samples_seen", "data_order")},
    }
    return {name: digest(value) for name, value in facts.items()}


def digest(value: Any) -> str:
    """A digest of nested plain values and tensors, to the last bit."""
    found = hashlib.sha256()

    def add(one: Any) -> None:
        if isinstance(one, torch.Tensor):
            found.update(f"{one.dtype}{tuple(one.shape)}".encode())
            found.update(one.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
        elif isinstance(one, dict):
            for key in one:
                found.update(repr(key).encode())
                add(one[key])
        elif isinstance(one, list | tuple):
            found.update(b"[")
            for each in one:
                add(each)
            found.update(b"]")
        else:
            found.update(repr(one).encode())

    add(value)
    return found.hexdigest()


def unbroken(run_dir: Path, overrides: list[str]) -> Pace:
    """Runs a training to its end; how long it took."""
    begin, first = time.monotonic(), None
    process = started(run_dir, overrides)
    while (status := ended(process)) is None:
        if first is None and (run_dir / "checkpoints" / "last.ckpt").is_file():
            first = time.monotonic() - begin
        time.sleep(0.005)
    whole, steps = time.monotonic() - begin, saved_step(run_dir)
    if status or first is None or not steps:
        raise SystemExit(f"the unbroken training failed or saved nothing; see {run_dir.with_suffix('.log')}")
    return Pace(first, whole, steps)


def told(run_dir: Path, overrides: list[str], draw: random.Random, kills: int, pace: Pace) -> Story:
    """Runs, kills `kills` times, goes on until the end; begun again if it ends before its last kill."""
    haste, orphans = 1.0, 0
    while True:
        story = Story(orphans=orphans)
        shutil.rmtree(run_dir, ignore_errors=True)
        while len(story.moments) < kills:
            moment = draw.uniform(0.0, haste * pace.left(saved_step(run_dir) or 0))
            process = started(run_dir, overrides)
            found = killed(process, run_dir, moment, in_a_save=draw.random() < 0.5)
            if found is None:
                break
            story.moments.append(found)
            story.orphans += workers_left(process)
        else:
            if os.waitstatus_to_exitcode(os.waitpid(started(run_dir, overrides), 0)[1]):
                raise SystemExit(f"the training failed by itself; see {run_dir.with_suffix('.log')}")
            return story
        haste, orphans = 0.8 * haste, story.orphans  # a worker left behind counts though the run does not
        if haste < 0.1:
            raise SystemExit(f"{run_dir.name} ended before its kill time and again: a training is too short")
        after = f"after {len(story.moments)} of {kills} kills"
        print(f"{run_dir.name} ended {after}; it is run again, with earlier moments.", file=sys.stderr)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=1, help="runs that are killed and go on")
    parser.add_argument("--kills", type=int, default=2, help="kills of each")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, default=Path("runs/kill_and_resume"), help="emptied first")
    parser.add_argument(
        "overrides", nargs="*", default=DEFAULT, help=f"of vl_dora.train; {' '.join(DEFAULT)}"
    )
    given = parser.parse_args()
    if given.kills < 1 or given.times < 1:
        parser.error(f"--times={given.times} and --kills={given.kills} must be at least 1")
    folder = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in LIBRARIES:
        importlib.import_module(name)

    pace = unbroken(folder / "unbroken", given.overrides)
    expected = left_by(folder / "unbroken")
    print(f"The unbroken run took {pace.whole:.1f} s for {pace.steps} steps.\n")
    print("| run | killed after, last checkpoint then | workers left | differs in |")
    print("| ---: | --- | ---: | --- |", flush=True)
    wrong = 0
    for number in range(given.times):
        run_dir = folder / f"killed-{number}"
        story = told(run_dir, given.overrides, random.Random(f"{given.seed}-{number}"), given.kills, pace)
        found = left_by(run_dir)
        story.differing = [name for name in expected if found[name] != expected[name]]
        wrong += bool(story.differing or story.orphans)
        cells = ["; ".join(story.moments), str(story.orphans)]
        cells.append(", ".join(story.differing) or "nothing")
        print(f"| {number + 1} | {' | '.join(cells)} |", flush=True)
        if not story.differing:
            shutil.rmtree(run_dir)
    print(f"\n{given.times - wrong} of {given.times} runs ended as the unbroken one, bit for bit.")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
