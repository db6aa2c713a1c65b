"""Embeddings under LoRA, DoRA and magnitude-only tuning.

A table E (n, d) is the linear map W = E^T (d, n) of one-hot words; so one magnitude stands for one of the d
coordinates, and its norm runs over all n words:

    y = c * E[ids] + c * s * A^T[ids] B^T,   c = m / ||W + s B A||_row

Shapes: n = words, d = width, r = rank; A (r, n), B (d, r), m (d,).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vl_dora.adapters.entry import Entry
from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.low_rank import DirectedLayer, LowRankLayer
from vl_dora.adapters.rescaled import RescaledLayer
from vl_dora.adapters.row_norm import adapted_row_squares, without_autocast


class AdaptedEmbedding(AdaptedLayer):
    """An adapted `nn.Embedding`, or one of transformers' that multiply what they look up by `embed_scale`.

    `sparse` only says in which form the table's own gradient comes, and the table is frozen: the gradient
    of A is dense.

    Raises:
        ValueError: the base has `max_norm`, which re-scales the frozen table whenever it is read.
    """

    kinds = (nn.Embedding,)
    file_keys = {
        "lora_a": ".lora_embedding_A",
        "lora_b": ".lora_embedding_B",
        "magnitude": ".lora_magnitude_vector",
    }
    base: nn.Embedding

    def __init__(self, base: nn.Module) -> None:
        if getattr(base, "max_norm", None) is not None:
            raise ValueError(
                f"an embedding with max_norm={base.max_norm} writes to its table whenever it is read, so it "
                f"cannot be frozen and adapted; make it with max_norm=None or leave it out of `layers`"
            )
        super().__init__(base)

    @classmethod
    def takes(cls, module: nn.Module) -> bool:
        if not isinstance(module, nn.Embedding):
            return False
        # One with a forward of its own computes something else, unless that is the known scale.
        return type(module).forward is nn.Embedding.forward or hasattr(module, "embed_scale")

    @property
    def bias(self) -> None:
        """An embedding has no bias."""
        return None

    @property
    def multiplier(self) -> float | Tensor:
        """What the base multiplies its rows by."""
        return getattr(self.base, "embed_scale", 1.0)

    def matrix(self) -> Tensor:
        return self.base.weight.T

    def unit_magnitude(self) -> Entry:
        return Entry((self.base.embedding_dim,), lambda: self.merged_weight().norm(dim=0), None)

    def zero_factors(self) -> dict[str, Entry]:
        words, width = self.base.weight.shape
        return {".lora_embedding_A": Entry.zeros((1, words)), ".lora_embedding_B": Entry.zeros((width, 1))}


class LoRAEmbedding(LowRankLayer, AdaptedEmbedding):
    """A frozen embedding whose table is shifted by rank r: y = E[ids] + s * A^T[ids] B^T,   s = alpha / r.

    At construction A = 0 and B ~ N(0, 1), as LoRA's authors and PEFT have it, so the output equals
    `base(ids)` exactly. There is no dropout: nothing of a word's number can be dropped.

    Args:
        base: the layer to adapt; frozen in place, not copied.
        rank: r, 1 <= r <= min(n, d).
        alpha: numerator of the scale s; unit-less.
        rslora: s = alpha / sqrt(r) instead.

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "lora"

    def __init__(self, base: nn.Module, *, rank: int, alpha: float, rslora: bool = False) -> None:
        AdaptedEmbedding.__init__(self, base)
        self.set_options(rank, alpha, rslora, "gaussian")
        words, width = self.base.weight.shape
        self.lora_a = self.factor(rank, words)
        self.lora_b = self.factor(width, rank)
        nn.init.normal_(self.lora_b)
        self.train(base.training)

    def forward(self, ids: Tensor) -> Tensor:
        """(*batch) whole numbers to (*batch, d)."""
        if self.merged:
            return self._merged_forward(ids)
        plain = self.base(ids)
        return (plain + self.update(ids, None)).to(plain.dtype)

    def update(self, ids: Tensor, gain: Tensor | None) -> Tensor:
        """c * s * A^T[ids] B^T, in `wide`; c = 1 where `gain` is None."""
        base = self.base
        low = F.embedding(ids, self.lora_a.T, base.padding_idx, scale_grad_by_freq=base.scale_grad_by_freq)
        up = self.scale * self.lora_b if gain is None else (self.scale * gain)[:, None] * self.lora_b
        return F.linear(low, up) * self.multiplier

    def shift(self) -> Tensor:
        return self.lora_b @ self.lora_a

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        return self.shifted().T.contiguous()


class DoRAEmbedding(DirectedLayer, LoRAEmbedding):
    """A frozen embedding whose coordinates are re-scaled and whose table is shifted by rank r.

    The equation is at the top of this file.

    Args:
        base: as in `LoRAEmbedding`, and so are rank, alpha and rslora.
        rank: r.
        alpha: numerator of the scale s.
        norm_gradient: detached or full, as in `DoRALinear`.
        rslora: s = alpha / sqrt(r) instead.

    Raises:
        ValueError: an option is outside what is stated above.
    """

    method = "dora"

    def __init__(
        self,
        base: nn.Module,
        *,
        rank: int,
        alpha: float,
        norm_gradient: str = "detached",
        rslora: bool = False,
    ) -> None:
        LoRAEmbedding.__init__(self, base, rank=rank, alpha=alpha, rslora=rslora)
        self.start_norm(norm_gradient)

    def forward(self, ids: Tensor) -> Tensor:
        """(*batch) whole numbers to (*batch, d)."""
        if self.merged:
            return self._merged_forward(ids)
        plain, gain = self.base(ids), self.current_gain()
        return (plain * gain + self.update(ids, gain)).to(plain.dtype)

    def shifted_squares(self) -> Tensor:
        padding = self.base.padding_idx
        a: Tensor = self.lora_a
        if padding is not None and a.requires_grad and torch.is_grad_enabled():
            # The padding word is not to learn, neither through the norm.
            words = torch.arange(a.shape[1], device=a.device)
            a = torch.where(words == padding, a.detach(), a)
        return adapted_row_squares(self.matrix(), self.base_squares(), a, self.lora_b, self.scale)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        return self.rescaled().T.contiguous()


class MagnitudeEmbedding(RescaledLayer, AdaptedEmbedding):
    """A frozen embedding whose coordinates are re-scaled: y = c * E[ids],   c = m / ||W||_row.

    At construction m = ||W||_row, so y equals `base(ids)` exactly.

    Args:
        base: the layer to adapt; frozen in place, not copied.
    """

    method = "magnitude"

    def forward(self, ids: Tensor) -> Tensor:
        """(*batch) whole numbers to (*batch, d)."""
        if self.merged:
            return self._merged_forward(ids)
        plain = self.base(ids)
        return (plain * self.base_gain()).to(plain.dtype)

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        with without_autocast(self.base.weight):
            return self.base.weight.to(self.wide) * self.gain(self.base_squares())
