"""The adaptation audit: what trains, where, how, and how much of the whole it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class AuditRow:
    """One rule of a selection, or the biases or layer norms of a part, as it came out.

    Args:
        part: vision, projector, language, or what the network calls it.
        rule: the part, and the name under `also` after a dot.
        method: frozen, full, lora, dora, magnitude, vera, dvora, biases or layer_norms.
        layers: the patterns that chose the modules; None: all of the part.
        modules: how many modules the rule trains or adapts.
        rank: r, or None.
        trainable: how many numbers train.
        learning_rate: the rule's own rate, or the run's; None: frozen, or not known yet.
        dtype: of what trains, for instance float32.
        share_percent: `trainable` in percent of all parameters of the network.
        names: the parameters that train under this rule, in the network's order.
        own_learning_rate: the rule sets its own rate.
        lr_ratio: learning rate of B over `learning_rate` (LoRA+); None: the same rate for all.
        quantization: nf4, fp4 or int8 where the adapted weights are held so; None: in floating point.
    """

    part: str
    rule: str
    method: str
    layers: tuple[str, ...] | None
    modules: int
    rank: int | None
    trainable: int
    learning_rate: float | None
    dtype: str
    share_percent: float
    names: tuple[str, ...] = ()
    own_learning_rate: bool = False
    lr_ratio: float | None = None
    quantization: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON types, without the parameter names."""
        plain = asdict(self)
        del plain["names"], plain["own_learning_rate"]
        plain["layers"] = None if self.layers is None else list(self.layers)
        return plain


@dataclass(frozen=True)
class PartTotal:
    """Numbers of one part: how many train, how many there are (frozen and adapters included)."""

    trainable: int
    total: int


@dataclass(frozen=True)
class AdaptationAudit:
    """What `apply_adapters` did to a network.

    Args:
        rows: one per rule, in the order of the network's parts.
        parts: part -> its numbers; tied weights count once.
        trainable: how many numbers train.
        total: all parameters of the network, tied weights once, frozen ones and adapters included.
    """

    rows: tuple[AuditRow, ...]
    parts: dict[str, PartTotal]
    trainable: int
    total: int

    @property
    def share_percent(self) -> float:
        """`trainable` in percent of `total`."""
        return 100.0 * self.trainable / self.total if self.total else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain JSON types."""
        return {
            "trainable": self.trainable,
            "total": self.total,
            "share_percent": self.share_percent,
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "rows": [row.to_dict() for row in self.rows],
        }

    def table(self) -> str:
        """The audit as a readable text table."""
        head = ("part", "method", "layers", "modules", "rank", "trainable", "lr", "dtype", "share")
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        right = {3, 4, 5, 6, 8}
        text = [
            "  ".join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * max(len(line) for line in text)
        total = f"{self.trainable:,} of {self.total:,} parameters train ({self.share_percent:.2f} %)"
        parts = ", ".join(f"{name} {part.trainable:,} of {part.total:,}" for name, part in self.parts.items())
        return "\n".join([text[0], rule, *text[1:], rule, total, parts])

    def __str__(self) -> str:
        return self.table()


def _cells(row: AuditRow) -> tuple[str, ...]:
    layers = "all" if row.layers is None else ", ".join(row.layers)
    return (
        row.rule,
        row.method if row.quantization is None else f"{row.method} ({row.quantization})",
        "-" if row.method == "frozen" else layers if len(layers) <= 40 else layers[:37] + "...",
        str(row.modules),
        "-" if row.rank is None else str(row.rank),
        f"{row.trainable:,}",
        "-" if row.learning_rate is None else _rate(row.learning_rate, row.lr_ratio),
        row.dtype,
        f"{row.share_percent:.2f} %",
    )


def _rate(rate: float, ratio: float | None) -> str:
    return f"{rate:g}" if ratio is None else f"{rate:g} (B {rate * ratio:g})"
