"""What a network offers to the rest of the project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from vl_dora.batch import Batch


class Network(Protocol):
    """A vision-language network whose parts can be adapted one by one.

    Attributes:
        parts: part name (vision, projector, language) -> module paths below the network that
            make up the part, for instance {"language": ("bart",)}. Every parameter lies in
            exactly one part. A part without modules is absent.

    A network whose parameters all lie in one transformers model may name that module's path in a further
    attribute, `adapter_root`: adapter files then name modules as that model does, and plain PEFT reads them.
    One that can be spread over processes (`trainer=fsdp2`) names in `blocks` the paths of the modules that
    are gathered one at a time, layer by layer; only `loss`, `logits` and `generate` call them.
    """

    parts: Mapping[str, tuple[str, ...]]

    def loss(self, batch: Batch) -> Tensor:
        """Scalar sum of `batch.label_weights` times token cross-entropy."""
        ...

    def logits(self, batch: Batch) -> Tensor:
        """(B, L, vocabulary) scores of the target tokens given the ones before."""
        ...

    def generate(self, batch: Batch, *, num_beams: int, max_new_tokens: int, **settings: Any) -> Tensor:
        """Generated token ids (B, <= max_new_tokens + 2), special tokens included."""
        ...
