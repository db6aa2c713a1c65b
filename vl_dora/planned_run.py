"""The plan of a run: the batch of every task, one step of each on shapes alone, whether the largest fits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.adapters import AdaptationAudit
from vl_dora.building import made, make_data, make_tokenizer
from vl_dora.plan import module_on_meta
from vl_dora.planning.asked import Lengths, PlannedBatch, planned_batch, processes, spreads_weights
from vl_dora.planning.equal_layers import SHORT, Stack, lengthened, stack_of
from vl_dora.planning.quantized_weights import with_quantized_weights
from vl_dora.planning.step import training_step
from vl_dora.planning.step_cost import StepCost, Trace
from vl_dora.planning.table import batch_line, cost_lines, memory_table, whole
from vl_dora.planning.training_lengths import lengths_of
from vl_dora.planning.verdict import CONTEXT, Verdict, changes, largest_batch

PHASES = {
    "forward": "the forward pass",
    "backward": "the backward pass",
    "optimizer": "the optimizer's update",
}


@dataclass(frozen=True)
class PlannedRun:
    """What a run would train and need.

    Args:
        config: as it would be trained.
        device: cpu or cuda.
        audit: what trains.
        batches: one a task.
        costs: of a step of each.
        verdict: None where no memory was named.
        unread: why lengths do not come from the data; None: they do.
    """

    config: DictConfig
    device: str
    audit: AdaptationAudit
    batches: tuple[PlannedBatch, ...]
    costs: tuple[StepCost, ...]
    verdict: Verdict | None
    unread: str | None

    @classmethod
    def of(cls, config: DictConfig, device: str, memory: int | None) -> PlannedRun:
        """Plans a run.

        Args:
            config: of the run and of `vl_dora.plan`.
            device: cpu or cuda.
            memory: bytes of the device; None: not named.

        Raises:
            ValueError: an option that the network, the adapters or the data refuse.
        """
        module = module_on_meta(config)
        tower = getattr(module.network, "vision", None)
        trains = None if tower is None else module.audit.parts["vision"].trainable > 0
        parts = config.data.get("parts") or {_name(config): config.data}
        lengths, unread = _lengths(config, parts)
        planned = (
            planned_batch(config, task, part, tower_trains=trains, lengths=lengths.get(task))
            for task, part in parts.items()
        )
        batches = tuple(_encoded(batch, module.network) for batch in planned)
        costs = tuple(cost_of(config, batch, device) for batch in batches)
        run = cls(config, device, module.audit, batches, costs, None, unread)
        return run if memory is None else replace(run, verdict=run._judged(memory))

    @property
    def largest(self) -> int:
        """Which task needs the most."""
        return max(range(len(self.costs)), key=lambda index: self.costs[index].peak)

    def needed(self, cost: StepCost) -> int:
        """Bytes of a step on the device: its peak, the buckets in which DDP sends gradients, CUDA's own."""
        buckets = cost.gradients if processes(self.config) > 1 else 0
        return cost.peak + buckets + CONTEXT[self.device]

    def _judged(self, memory: int) -> Verdict:
        batch, cost = self.batches[self.largest], self.costs[self.largest]
        needed = self.needed(cost)
        if needed <= memory:
            return Verdict(memory, needed, own=CONTEXT[self.device])
        tried = []
        if OmegaConf.select(self.config, "model.network.checkpointing") is False:
            changed = self.config.copy()
            changed.model.network.checkpointing = True
            saved = cost_of(changed, batch, self.device)
            tried.append(("model.network.checkpointing=true", self.needed(saved)))

        def with_samples(number: int) -> int:
            smaller = replace(batch, shape=batch.shape.resized(number))
            return self.needed(cost_of(self.config, smaller, self.device))

        still = needed - cost.peak + cost.weights + cost.gradients + cost.optimizer
        fewer = largest_batch(batch.shape.samples, memory, with_samples, needed, still=still)
        found = (*changes(tried, memory), *([fewer] if fewer else []))
        return Verdict(memory, needed, found, CONTEXT[self.device])

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON types, bytes and operations as whole numbers."""
        steps = [
            {
                "task": batch.task,
                "batch": asdict(batch.shape),
                "encoded_once": batch.encoded,
                "sources": batch.sources,
                "memory": asdict(cost),
                "flops_a_step": (cost.forward_flops + cost.backward_flops) * self._accumulated,
                "epoch": None if batch.epoch is None else asdict(batch.epoch),
            }
            for batch, cost in zip(self.batches, self.costs, strict=True)
        ]
        verdict = self.verdict
        return {
            "device": self.device,
            "precision": str(self.config.trainer.precision),
            "processes": processes(self.config),
            "upper_bound": spreads_weights(self.config),
            "micro_batches_a_step": self._accumulated,
            "steps": steps,
            "needed": self.needed(self.costs[self.largest]),
            "lengths_not_from_data": self.unread,
            "device_memory": None if verdict is None else verdict.memory,
            "fits": None if verdict is None else verdict.fits,
            "changes": None if verdict is None else [asdict(change) for change in verdict.changes],
        }

    @property
    def _accumulated(self) -> int:
        return int(self.config.trainer.accumulate_grad_batches)

    def table(self) -> str:
        """The plan as text."""
        where = {"cpu": "on a CPU", "cuda": "on a CUDA GPU"}[self.device]
        precision, count = str(self.config.trainer.precision), processes(self.config)
        blocks = []
        for index, (batch, cost) in enumerate(zip(self.batches, self.costs, strict=True)):
            lines = [batch_line(batch, precision, where)]
            if index == self.largest:
                lines += ["", memory_table(cost), f"the peak is in {PHASES[cost.phase]}", ""]
            lines += cost_lines(batch, cost, self._accumulated, count)
            blocks.append("\n".join(lines))
        notes = []
        if spreads_weights(self.config):
            notes.append(
                "trainer=fsdp2: weights, gradients and optimizer states are counted whole, more than one "
                "process holds in a step; while it is scored it holds all weights"
            )
        elif count > 1:
            notes.append(f"figures are of one of {count} processes, each with the whole network")
        if self.config.data.get("packing"):
            notes.append("data.packing=true: figures are of the batch unpacked")
        if self.unread is not None:
            notes.append(f"lengths are limits, not measured: {self.unread}; batch.prompt_tokens=… sets them")
        if self.verdict is not None:
            notes.append(self.verdict.sentence(self.config.device_memory))
        return whole([*blocks, "\n".join(notes)])


def cost_of(config: DictConfig, batch: PlannedBatch, device: str) -> StepCost:
    """One step of a fresh network on a batch; of many equal layers a few are run (`equal_layers.py`)."""
    module = module_on_meta(config)
    stack = stack_of(module.network)
    if stack is None:
        trace = _trace(config, module, batch, device)
    else:
        short, longer = (_trace_of_short(config, stack, SHORT + more, batch, device) for more in (0, 1))
        trace = lengthened(short, longer, stack.count - SHORT - 1)
    return with_quantized_weights(trace.cost(), module.network, module.audit)


def _trace_of_short(config: DictConfig, stack: Stack, count: int, batch: PlannedBatch, device: str) -> Trace:
    module = module_on_meta(config)
    stack.cut(module.network, count)
    return _trace(config, module, batch, device, stack.layers(module.network))


def _trace(
    config: DictConfig, module: Any, batch: PlannedBatch, device: str, layers: Sequence[Any] = ()
) -> Trace:
    return training_step(
        module,
        batch.shape.make,
        device=device,
        precision=str(config.trainer.precision),
        accumulates=config.trainer.accumulate_grad_batches > 1,
        layers=layers,
    )


def _encoded(batch: PlannedBatch, network: Any) -> PlannedBatch:
    """The batch with what a tower on the meta device makes of its pictures, where it sees them once."""
    import torch

    if not batch.encoded:
        return batch
    pixels = batch.shape.pixels
    with torch.no_grad():
        features = network.vision.eval()(torch.empty(1, 3, pixels, pixels, dtype=torch.uint8, device="meta"))
    return replace(
        batch, shape=replace(batch.shape, features=(int(features.shape[1]), int(features.shape[2])))
    )


def _name(config: DictConfig) -> str:
    return str(made(config.task).name)


def _lengths(config: DictConfig, parts: Mapping[str, Any]) -> tuple[dict[str, Lengths], str | None]:
    """Task -> lengths of its training samples where they are at hand, and why they are not."""
    try:
        tokenizer = make_tokenizer(config)
    except (ValueError, OSError) as error:
        return {}, _short(f"there is no tokenizer here ({error})")
    data = make_data(config, made(config.task), tokenizer, blind=True)
    several = getattr(data, "parts", None)
    members = {next(iter(parts)): data} if several is None else several
    found = {name: lengths_of(member) for name, member in members.items()}
    missing = [name for name, lengths in found.items() if lengths is None]
    known = {name: lengths for name, lengths in found.items() if lengths is not None}
    return known, f"the data of {', '.join(missing)} is not here" if missing else None


def _short(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= 160 else f"{text[:157]}..."
