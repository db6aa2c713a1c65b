"""Whether two networks say the same of real samples: their logits, and the texts they generate.

Shapes: B = samples, L = target tokens, K = vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vl_dora.batch import Batch

# Largest relative L2 difference of a sample's logits, and percent of texts that may differ, by the dtype of
# the weights. Rounding them to bfloat16 (2^-9) moves logits by about a percent, and a tie may turn over.
TOLERANCES = {"float32": (1e-4, 0.0), "float16": (1e-2, 2.0), "bfloat16": (8e-2, 10.0)}


@dataclass(frozen=True)
class Compared:
    """One sample, as the two networks answer it.

    Args:
        id: of the example.
        prompt: what was asked.
        expected: the text of the first network.
        found: the text of the second.
        difference: |b - a| / |a| over the sample's logits (L, K); infinite where b is no number.
    """

    id: str
    prompt: str
    expected: str
    found: str
    difference: float

    def __str__(self) -> str:
        return (
            f"sample {self.id!r}: {self.prompt!r} is answered {self.found!r} instead of {self.expected!r}, "
            f"logits differ by {self.difference:.2e}"
        )


@dataclass(frozen=True)
class Agreement:
    """Every compared sample, and what they amount to."""

    samples: tuple[Compared, ...]

    @property
    def worst(self) -> Compared:
        """The sample whose text differs, or else whose logits differ most."""
        return max(self.samples, key=lambda one: (one.expected != one.found, one.difference))

    @property
    def difference(self) -> float:
        """The largest difference of logits."""
        return max(one.difference for one in self.samples)

    @property
    def other_texts(self) -> int:
        """How many texts differ."""
        return sum(one.expected != one.found for one in self.samples)

    def check(self, dtype: str) -> None:
        """Stops where the difference is more than the dtype explains.

        Raises:
            ValueError: with the worst sample.
        """
        logits, percent = TOLERANCES[dtype]
        share = 100.0 * self.other_texts / len(self.samples)
        if not (self.difference <= logits and share <= percent):
            raise ValueError(
                f"the result differs from the run and was not written: logits by {self.difference:.2e} "
                f"(allowed for {dtype}: {logits:.0e}), {self.other_texts} of {len(self.samples)} texts "
                f"(allowed: {percent:g} %); worst {self.worst}"
            )


@torch.no_grad()
def compare(
    first: Any, second: Any, batches: Iterable[Batch], tokenizer: Any, generation: dict[str, Any]
) -> Agreement:
    """Both networks on the same batches, in evaluation mode.

    Logits are of the targets; where the samples have none, of the text that the first network generates.
    """
    first.eval()
    second.eval()
    found: list[Compared] = []
    for batch in batches:
        written = [network.generate(batch, **generation) for network in (first, second)]
        labels = batch.labels
        if labels is None:
            labels = written[0].masked_fill(written[0] == tokenizer.pad_token_id, -100)
        asked = replace(batch, labels=labels)
        a, b = first.logits(asked).float(), second.logits(asked).float()
        texts = [tokenizer.batch_decode(ids, skip_special_tokens=True) for ids in written]
        for row, example in enumerate(batch.examples):
            kept = labels[row] != -100
            distance = _distance(a[row][kept], b[row][kept])
            found.append(
                Compared(example.id, example.prompt, texts[0][row].strip(), texts[1][row].strip(), distance)
            )
    return Agreement(tuple(found))


def _distance(a: Tensor, b: Tensor) -> float:
    distance = float((b - a).norm() / a.norm().clamp_min(1e-12))
    return distance if distance == distance else float("inf")
