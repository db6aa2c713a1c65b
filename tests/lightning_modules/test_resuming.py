"""A run that goes on from any of its checkpoints ends, bit for bit, as one that was never cut off."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from torch import nn

from data_modules.dataset import EpochSampler, ResumableLoader
from data_modules.length_order import GroupedSampler
from data_modules.mixture_order import MixtureSampler
from vl_dora.batch import Batch, Example
from vl_dora.lightning_modules.adapter_tuning import AdapterTuning
from vl_dora.lightning_modules.checkpoint_files import PlainCheckpointIO, read_checkpoint
from vl_dora.lightning_modules.checkpoints import KeepCheckpoints
from vl_dora.lightning_modules.data_order import DataOrder
from vl_dora.lightning_modules.optimizer import OptimizerSettings
from vl_dora.metrics_log import METRICS, MetricsLog, keep_rows_before, read_rows
from vl_dora.tasks.interface import ScoreReport

pytestmark = pytest.mark.filterwarnings("ignore:Found .* module.* in eval mode")
NUM, STEPS = 26, 11


class Net(nn.Module):
    """A layer behind dropout; what it says of a sample is how often it is right."""

    parts = {"language": ("drop", "head")}
    adapter_extras: dict[str, int] = {}

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(5, 3)

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.head(self.drop(batch.features[:, 0, 0]))

    def loss(self, batch: Batch) -> torch.Tensor:
        # Of the generators that nothing of ours draws from, either.
        noise = np.random.random() * 0.01
        return nn.functional.cross_entropy(self(batch), batch.labels[:, 0]) * (1 + noise)

    def generate(self, batch: Batch) -> torch.Tensor:
        return self(batch).argmax(1, keepdim=True)


class Words:
    def batch_decode(self, ids, skip_special_tokens):
        return [str(int(row[0])) for row in ids]


class Right:
    name, headline, loss_reduction = "right", "accuracy", "sample"

    def score(self, predictions):
        hits = {p.id: 100.0 * (p.text == p.answers[0]) for p in predictions}
        return ScoreReport({"accuracy": sum(hits.values()) / len(hits)}, per_sample=hits)


class Samples(torch.utils.data.Dataset):
    """Numbered samples, the same in every process."""

    def __getitem__(self, key):
        if len(key) == 3:  # of a mixture: task, pass, numbers
            name, _, numbers = key
            return [number + (100 if name == "second" else 0) for number in numbers]
        return key[1]

    def __len__(self):
        return NUM


def collate(numbers: list[int]) -> Batch:
    features = torch.stack(
        [torch.randn(1, 1, 5, generator=torch.Generator().manual_seed(n)) for n in numbers]
    )
    labels = features[:, 0, 0, :3].argmax(1, keepdim=True)
    examples = tuple(
        Example(str(n), "", str(int(label)), answers=(str(int(label)),))
        for n, label in zip(numbers, labels, strict=True)
    )
    ids = torch.zeros(len(numbers), 1, dtype=torch.long)
    return Batch(examples, ids, ids.bool(), features=features, labels=labels)


def loader(kind: str, workers: int) -> ResumableLoader:
    whole_batches = kind == "mixture"
    if whole_batches:
        sizes = {"first": 14, "second": 10}
        sampler: EpochSampler = MixtureSampler(sizes, dict.fromkeys(sizes, 4), order="proportional", seed=4)
    elif kind == "grouped":
        lengths = [n % 7 for n in range(NUM)]
        sampler = GroupedSampler(lengths, [n % 3 == 0 for n in range(NUM)], group_size=8, seed=4)
    else:
        sampler = EpochSampler(NUM, seed=4, shuffle=kind == "shuffled")
    return ResumableLoader(
        Samples(),
        batch_size=None if whole_batches else 4,
        sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),
    )


class Copies(lightning.Callback):
    """Keeps a copy of the folder of checkpoints as it was whenever another last.ckpt was there."""

    def __init__(self, checkpoints: Path, to: Path) -> None:
        self.checkpoints, self.to, self.seen = checkpoints, to, 0

    def _look(self, *_):
        last = self.checkpoints / "last.ckpt"
        if last.is_file() and last.stat().st_ino != self.seen:
            self.seen = last.stat().st_ino
            shutil.copytree(self.checkpoints, self.to / f"{read_checkpoint(last)['global_step']:03d}")

    on_train_batch_start = on_validation_start = on_train_epoch_end = on_train_end = _look


def run(folder: Path, *, kind: str, settings: dict, workers: int = 0, start: Path | None = None, copies=None):
    torch.manual_seed(1)
    np.random.seed(1)
    module = AdapterTuning(
        network=Net(),
        task=Right(),
        tokenizer=Words(),
        selection={"language": {"method": "dora", "layers": ["head"], "rank": 2}},
        optimizer=OptimizerSettings(lr=0.05, warmup_fraction=0.2),
        generation={},
    )
    keep, order = KeepCheckpoints(folder / "checkpoints", 1, "val/accuracy"), DataOrder()
    keep_rows_before(folder / METRICS, 0 if start is None else read_checkpoint(start)["global_step"])
    trainer = lightning.Trainer(
        accelerator="cpu",
        callbacks=[order, keep, *([Copies(folder / "checkpoints", copies)] if copies else [])],
        logger=[MetricsLog(folder)],
        plugins=[PlainCheckpointIO()],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        check_val_every_n_epoch=None,
        **{"max_steps": STEPS, **settings},
    )
    torch.manual_seed(2)
    np.random.seed(2)
    trainer.fit(module, loader(kind, workers), loader("file", 0), ckpt_path=start, weights_only=True)
    keep.finish(trainer, module, loader("file", 0))
    last, best = (read_checkpoint(path) for path in (keep.last, keep.best))
    return SimpleNamespace(
        last=last,
        best=best,
        order=order.of_all(),
        kept=(keep.best_score, keep.best_step),
        rows=read_rows(folder / METRICS),
    )


def assert_same(found, expected, path: str = "") -> None:
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), path
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key in expected:
            assert_same(found[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{path}[{i}]")
    else:
        assert found == expected, path


KINDS = [
    ("shuffled", {"val_check_interval": 3}),
    ("shuffled", {"val_check_interval": 7}),  # at the end of every pass of seven batches
    ("shuffled", {"val_check_interval": 5, "accumulate_grad_batches": 2}),  # inside a step, too
    ("grouped", {"val_check_interval": 4, "accumulate_grad_batches": 2}),
    ("mixture", {"val_check_interval": 2, "accumulate_grad_batches": 3}),
]


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_from_every_checkpoint_a_run_ends_as_the_unbroken_one(kind, settings, tmp_path):
    whole = run(tmp_path / "whole", kind=kind, settings=settings, copies=tmp_path / "copies")
    copies = sorted((tmp_path / "copies").iterdir())
    assert [int(copy.name) for copy in copies] == list(range(1, STEPS + 1))
    for copy in copies:
        folder = tmp_path / f"from-{copy.name}"
        shutil.copytree(copy, folder / "checkpoints")
        # The log may be ahead of the checkpoint by as much as it likes.
        shutil.copy(tmp_path / "whole" / METRICS, folder / METRICS)
        start = folder / "checkpoints" / "last.ckpt"
        again = run(folder, kind=kind, settings=settings, start=start, copies=folder / "copies")
        # What it saves later on is what the unbroken run saved, so it may be cut off again.
        for later in (folder / "copies").glob("*"):
            other = tmp_path / "copies" / later.name
            loops = [read_checkpoint(one / "last.ckpt")["loops"]["fit_loop"] for one in (later, other)]
            assert_same(*loops, f"{copy.name}: loops at {later.name}")
        assert again.order == whole.order and again.kept == whole.kept, copy.name
        assert again.rows == whole.rows, copy.name
        for name in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "global_step"):
            assert_same(again.last[name], whole.last[name], f"{copy.name}: last {name}")
        assert_same(again.best["state_dict"], whole.best["state_dict"], copy.name)
        assert again.best["global_step"] == whole.best["global_step"] == whole.kept[1]


def test_loader_workers_change_nothing_for_a_run_that_goes_on(tmp_path):
    settings = {"val_check_interval": 3}
    whole = run(tmp_path / "whole", kind="shuffled", settings=settings, copies=tmp_path / "copies")
    start = tmp_path / "copies" / "004" / "last.ckpt"
    again = run(tmp_path / "again", kind="shuffled", settings=settings, workers=2, start=start)
    assert again.order == whole.order
    assert_same(again.last["state_dict"], whole.last["state_dict"])


def test_a_kill_between_last_and_best_is_made_up_for(tmp_path):
    settings = {"val_check_interval": 3}
    whole = run(tmp_path / "whole", kind="shuffled", settings=settings, copies=tmp_path / "copies")
    copy = tmp_path / "copies" / f"{whole.kept[1]:03d}"
    assert read_checkpoint(copy / "best.ckpt")["global_step"] == whole.kept[1]
    (copy / "best.ckpt").unlink()
    (copy / "last.ckpt.tmp").write_bytes(b"half of a checkpo")
    shutil.copytree(copy, tmp_path / "again" / "checkpoints")
    start = tmp_path / "again" / "checkpoints" / "last.ckpt"
    again = run(tmp_path / "again", kind="shuffled", settings=settings, start=start)
    assert_same(again.best["state_dict"], whole.best["state_dict"])
    assert {p.name for p in start.parent.iterdir()} == {"last.ckpt", "best.ckpt"}
