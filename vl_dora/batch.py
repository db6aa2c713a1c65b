"""Example, Batch, Prediction: the words that every room of the project shares.

Shapes: B = samples, I = images per sample (frames of its clip included), N = visual tokens per
image, F = features per visual token, T = prompt tokens, L = target tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

# Stands in `Batch.input_ids` where a decoder-only network reads a visual token. No tokenizer makes a negative
# id, so no vocabulary needs a word for it.
VISUAL_PLACE = -200


@dataclass(frozen=True)
class ImageRef:
    """Where one picture's pixels lie.

    Args:
        path: relative to the data root, or absolute; a picture file, or a `.npy` array of
            pictures (n, height, width, 3).
        crop: left, top, right, bottom in pixels; the whole picture when None.
        index: row of a `.npy` array; None for a picture file.
        bgr: the array stores blue, green, red.
    """

    path: str
    crop: tuple[int, int, int, int] | None = None
    index: int | None = None
    bgr: bool = False


@dataclass(frozen=True)
class ClipRef:
    """Where one clip lies, which part of it counts, and, once loaded, what was shown of it.

    Args:
        path: relative to the data root, or absolute; a video file.
        start: seconds on the file's clock; None: from the first frame on.
        end: seconds on the file's clock; None: to the end.
        count: frames, at the middles of equal spans; None: what the data module says.
        fps: frames a second instead of `count`; None: what the data module says.
        indices: positions of the frames shown among all of the file; None until loaded.
        times: their presentation times in seconds; None until loaded.
    """

    path: str
    start: float | None = None
    end: float | None = None
    count: int | None = None
    fps: float | None = None
    indices: tuple[int, ...] | None = None
    times: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Example:
    """One question about zero or more pictures, with what it should be answered.

    Args:
        id: unique inside its split.
        prompt: the exact text that the encoder reads.
        target: the text to be learned.
        images: the pictures, in the order in which the prompt speaks of them.
        frames: the clip that the prompt speaks of; its frames follow the pictures.
        answers: the human answers that a score compares with.
        targets: (text, score in 0..1) pairs to draw the target from while training, with
            probability proportional to the score, the loss then being weighted by it;
            empty: always `target`, weight 1.
        groups: what scores are broken down by, for instance {"question_type": "how many"}.
        spare: (start, end) characters of the prompt that may be left out where it is too long for the
            network (lines of subtitles), in the order in which they go; they do not overlap.
    """

    id: str
    prompt: str
    target: str
    images: tuple[ImageRef, ...] = ()
    frames: ClipRef | None = None
    answers: tuple[str, ...] = ()
    targets: tuple[tuple[str, float], ...] = ()
    turns: tuple[tuple[str, str], ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    spare: tuple[tuple[int, int], ...] = ()

    @property
    def visuals(self) -> tuple[ImageRef | ClipRef, ...]:
        """The pictures, then the clip, in the order in which a network sees them."""
        return self.images if self.frames is None else (*self.images, self.frames)


@dataclass(frozen=True)
class Batch:
    """What a network reads: tensors of one step and the examples they were made of.

    Args:
        examples: the B examples, in order.
        input_ids: (B, T) prompt tokens, right-padded; for a decoder-only network whole conversations, answers
            included, with `VISUAL_PLACE` for every visual token.
        attention_mask: (B, T) bool, True on tokens, False on padding.
        pixels: (B, I, 3, height, width) uint8, or None when features are given or the
            samples have no pictures.
        features: (B, I, N, F) stored features, or None.
        image_mask: (B, I) bool, False on slots that only pad a sample to I images.
        feature_mask: (B, I, N) bool, False on padded visual tokens (short clips); None: all real.
        labels: (B, L) target tokens with the end token, -100 on padding; None when no target.
        label_weights: (B, L) float32 weights w of the loss sum(w * cross-entropy); they
            carry the reduction (per sample or per token) and the score of a sampled answer.
        prompt_lengths: (B,) how many tokens of a row come before the answer that is to be generated, for a
            decoder-only network, whose labels lie along `input_ids` (L = T); None for an encoder-decoder.
        segments: (R, T) int64, where a decoder-only network trains on several samples a row: which sample a
            token is of, -1 on padding. What has T above then has R rows, not B. None: row i is sample i.
    """

    examples: tuple[Example, ...]
    input_ids: Tensor
    attention_mask: Tensor
    pixels: Tensor | None = None
    features: Tensor | None = None
    image_mask: Tensor | None = None
    feature_mask: Tensor | None = None
    labels: Tensor | None = None
    label_weights: Tensor | None = None
    prompt_lengths: Tensor | None = None
    segments: Tensor | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def _map(self, change: Any) -> Batch:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: change(v) for k, v in tensors.items() if isinstance(v, Tensor)})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device; Lightning calls it for unknown batch types."""
        return self._map(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory; the loader calls it."""
        return self._map(lambda t: t.pin_memory())


@dataclass(frozen=True)
class Prediction:
    """What the network said of one example, with everything a score or a page needs.

    `example` holds prompt, pictures, answers and groups; `text` is the decoded text without
    special tokens, otherwise untouched.
    """

    example: Example
    text: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.example.id

    @property
    def answers(self) -> tuple[str, ...]:
        return self.example.answers
