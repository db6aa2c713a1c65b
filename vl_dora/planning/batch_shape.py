"""The batch of a planned step: tokens and masks are real, pixels and features have a shape alone.

Shapes: B samples, T prompt tokens (whole conversations for a decoder-only network), L target tokens,
I pictures, N visual tokens of a picture, F features of one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vl_dora.batch import VISUAL_PLACE, Batch, Example
from vl_dora.planning.shapes_only import ShapesOnly

WORD = 3  # any word of the vocabulary that is neither padding nor the end


@dataclass(frozen=True)
class BatchShape:
    """How large a micro-batch of one process is.

    Args:
        samples: B.
        prompt_tokens: T, visual tokens included for a decoder-only network.
        target_tokens: L; for a decoder-only network how many tokens of a row are supervised.
        pictures: I, frames of a clip included.
        visual_tokens: N that the network's places are filled with, for a decoder-only network; else 0.
        features: (N, F) where stored features or those of a tower that ran before are read; None: pixels.
        pixels: height and width of the pictures.
    """

    samples: int
    prompt_tokens: int
    target_tokens: int
    pictures: int
    visual_tokens: int = 0
    features: tuple[int, int] | None = None
    pixels: int = 0

    @property
    def decoder_only(self) -> bool:
        """Whether prompt and target are one text."""
        return self.visual_tokens > 0

    def resized(self, samples: int) -> BatchShape:
        """The same of another number of samples."""
        return replace(self, samples=samples)

    def make(self, shapes: ShapesOnly) -> Batch:
        """The batch. Its last row is one token shorter, as in batches of texts, so that masks are needed.

        Raises:
            ValueError: a conversation is too short for its pictures and what is supervised.
        """
        mask = torch.ones(self.samples, self.prompt_tokens, dtype=torch.bool)
        if self.samples > 1 and self.prompt_tokens > 1:
            mask[-1, -1] = False
        ids = torch.full((self.samples, self.prompt_tokens), WORD)
        labels = torch.full((self.samples, self.target_tokens), WORD)
        lengths = None
        if self.decoder_only:
            labels = self._conversations(ids)
            labels[~mask] = -100
            lengths = (labels == -100).sum(1)
        chosen = labels != -100
        return Batch(
            examples=tuple(Example(f"planned-{n}", "", "") for n in range(self.samples)),
            input_ids=ids,
            attention_mask=mask,
            pixels=self._pixels(shapes),
            features=self._features(shapes),
            image_mask=torch.ones(self.samples, self.pictures, dtype=torch.bool) if self.pictures else None,
            labels=labels,
            label_weights=chosen.float() / chosen.sum(),
            prompt_lengths=lengths,
        )

    def _conversations(self, ids: Tensor) -> Tensor:
        """Fills in the visual places; labels (B, T), the last `target_tokens` of a row being supervised."""
        places = self.pictures * self.visual_tokens
        if self.prompt_tokens < 1 + places + 1 or not 0 < self.target_tokens < self.prompt_tokens - places:
            raise ValueError(
                f"a conversation of {self.prompt_tokens} tokens has no room for {self.pictures} pictures of "
                f"{self.visual_tokens} tokens and {self.target_tokens} supervised ones; set "
                "batch.prompt_tokens, batch.target_tokens or batch.pictures"
            )
        ids[:, 1 : 1 + places] = VISUAL_PLACE
        labels = torch.full_like(ids, -100)
        labels[:, -self.target_tokens :] = WORD
        return labels

    def _pixels(self, shapes: ShapesOnly) -> Tensor | None:
        if self.features is not None or not self.pictures:
            return None
        return shapes.empty(self.samples, self.pictures, 3, self.pixels, self.pixels, dtype=torch.uint8)

    def _features(self, shapes: ShapesOnly) -> Tensor | None:
        if self.features is None or not self.pictures:
            return None
        return shapes.empty(self.samples, self.pictures, *self.features)
