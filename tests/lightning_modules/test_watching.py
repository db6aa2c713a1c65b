"""Throughput tells how fast samples go through and how much of it is waiting."""

from __future__ import annotations

import time

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from vl_dora.lightning_modules.watching import StepTimes


class Slow(DataLoader):
    """Takes 30 ms for a batch of four, and says so."""

    def __init__(self, num: int) -> None:
        super().__init__(list(range(4 * num)), batch_size=4)
        self.waits: list[float] = []

    def __iter__(self):
        for batch in super().__iter__():
            asked = time.perf_counter()
            time.sleep(0.03)
            self.waits.append(time.perf_counter() - asked)
            yield batch


class Steps(lightning.LightningModule):
    """Takes 10 ms for a step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def training_step(self, batch, index):
        time.sleep(0.01)
        return self.weight * batch.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fitted(loader) -> StepTimes:
    times = StepTimes()
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[times],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Steps(), loader)
    return times


def test_waiting_and_working_are_told_apart():
    times = fitted(Slow(10))
    assert times.samples == [4] * 20 and len(times.waits) == 20
    found = times.throughput()
    waited, worked = sum(times.waits[4:]), sum(times.batches[4:])
    assert waited >= 16 * 0.03 and worked >= 16 * 0.01
    assert found["samples_a_second"] == pytest.approx(64 / (waited + worked), rel=1e-3)
    assert found["waiting_for_data_percent"] == pytest.approx(100 * waited / (waited + worked), rel=1e-3)


def test_a_loader_that_does_not_count_gives_no_figure():
    times = fitted(DataLoader(list(range(8)), batch_size=4))
    assert times.throughput() == {"samples_a_second": None, "waiting_for_data_percent": None}
