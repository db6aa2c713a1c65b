"""What a planned step needs, as a text that is read at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from vl_dora.planning.asked import PlannedBatch
from vl_dora.planning.memory_units import shown
from vl_dora.planning.step_cost import StepCost

ROWS = (
    ("weights", "weights"),
    ("gradients", "gradients"),
    ("optimizer", "optimizer state"),
    ("batch", "batch"),
    ("activations", "activations"),
    ("working", "working memory"),
)


def memory_table(cost: StepCost) -> str:
    """Kinds of memory: how much there is of each, and how much of it at the moment of the peak."""
    lines = [("what a step needs", "of its kind", "at the peak")]
    for kind, name in ROWS:
        whole = "" if kind == "working" else shown(getattr(cost, kind))
        lines.append((name, whole, shown(cost.at_peak.get(kind, 0))))
    lines.append(("peak", "", f"{shown(cost.peak)}"))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    text = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in lines]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:-1], "-" * len(text[0]), text[-1]])


def batch_line(batch: PlannedBatch, precision: str, device: str) -> str:
    """What the step reads, and where its sizes come from."""
    shape = batch.shape
    words = f"{shape.prompt_tokens} tokens, {shape.target_tokens} of them supervised"
    if not shape.decoder_only:
        words = f"{shape.prompt_tokens} prompt and {shape.target_tokens} target tokens"
    kind = "as stored features" if shape.features else f"of {shape.pixels} pixels"
    if batch.encoded:
        kind = "seen once by the tower, then kept as features"
    pictures = (
        f"{shape.pictures} picture{'s' if shape.pictures != 1 else ''} {kind}"
        if shape.pictures
        else "no picture"
    )
    asked: dict[str, list[str]] = {}
    for name, source in batch.sources.items():
        asked.setdefault(source, []).append(name)
    told = "; ".join(f"{', '.join(names)}: {source}" for source, names in asked.items())
    samples = f"{shape.samples} sample{'s' if shape.samples != 1 else ''}"
    return f"{batch.task}: {samples} of {words}, {pictures}\n  ({precision}, {device}; {told})"


def cost_lines(batch: PlannedBatch, cost: StepCost, accumulated: int, processes: int) -> list[str]:
    """Operations of an optimizer step, and what an epoch is."""
    micro = cost.forward_flops + cost.backward_flops
    times = f" x {accumulated} micro-batches" if accumulated > 1 else ""
    each = " of each process" if processes > 1 else ""
    lines = [
        f"operations of a step{each}: {operations(micro * accumulated)} "
        f"(forward {operations(cost.forward_flops)}, backward {operations(cost.backward_flops)}{times})"
    ]
    epoch = batch.epoch
    if epoch is not None:
        about = "" if epoch.looked_at >= epoch.samples else "about "
        lines.append(
            f"an epoch: {epoch.samples:,} samples, {epoch.steps:,} steps, {about}{epoch.tokens:,} tokens"
        )
    return lines


def operations(count: float) -> str:
    """3.2e9 as 3.20 GFLOP."""
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count / 1e6:.2f} MFLOP"


def whole(parts: Sequence[str]) -> str:
    """Paragraphs as one text."""
    return "\n\n".join(part for part in parts if part)
