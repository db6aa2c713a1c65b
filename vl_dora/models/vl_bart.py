"""VL-BART: BART whose encoder reads text and visual tokens side by side.

Sources: Cho et al. 2021 (arXiv:2102.02779) for the joint encoder, Sung et al. 2022
(arXiv:2112.06825) for CLIP grid features; the layers are transformers' BART.
Shapes: B samples, I pictures, N visual tokens per picture after pooling, V = I * N,
F tower features, d model width, T prompt tokens, L target tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from vl_dora.batch import Batch
from vl_dora.models.projector import VisualEmbedding

# 100 <extra_id_*> and 100 <vis_extra_id_*> tokens behind the vocabulary; the latter double as
# the order embedding of visual tokens, last row first.
NUM_ADDED_TOKENS = 200


class VLBart(nn.Module):
    """BART with a visual embedding beside its token embedding.

    The encoder reads [text ; vision]: text as in BART, every visual token as the sum of
    `VisualEmbedding`'s terms. The output head is tied to the token table.

    Args:
        text: fields of `transformers.BartConfig`; `vocab_size` counts the 200 added tokens.
        feature_dim: F of the tower or of the stored features.
        num_visual_tokens: N after max pooling; None keeps what the tower gives.
        pooling: "grid" pools a square grid in two dimensions (pictures), "sequence" in one
            (frames of a clip).
        max_images: how many pictures a sample may have.
        vision: the tower; None when features are stored.
        attends_to_padding: the reference's fault of filling up short clips, with features of zero, and of
            attending to them there: a sequence to `num_visual_tokens`, frames to `max_images` where a
            batch pads them; for comparison only.

    Raises:
        ValueError: a batch without what the network needs, or with more pictures than
            `max_images`, or a feature width or grid that does not fit.
    """

    def __init__(
        self,
        text: Mapping[str, Any],
        feature_dim: int,
        num_visual_tokens: int | None = 36,
        pooling: str = "grid",
        max_images: int = 2,
        vision: nn.Module | None = None,
        attends_to_padding: bool = False,
    ) -> None:
        super().__init__()
        if pooling not in ("grid", "sequence"):
            raise ValueError(f"model.network.pooling={pooling} must be grid or sequence")
        config = BartConfig(**{"attn_implementation": "sdpa", **text})
        self.bart = BartForConditionalGeneration(config)
        self.visual_embedding = VisualEmbedding(feature_dim, config.d_model, max_images)
        self.vision = vision
        self.num_visual_tokens = num_visual_tokens
        self.pooling = pooling
        self.attends_to_padding = attends_to_padding
        self.parts = {"projector": ("visual_embedding",), "language": ("bart",)}
        if vision is not None:
            self.parts = {"vision": ("vision",), **self.parts}
        # The added rows are random and frozen under adapters, yet every visual token carries
        # one: they must travel with an adapter (first row of each such tensor).
        self.adapter_extras = {"bart.model.shared.weight": config.vocab_size - NUM_ADDED_TOKENS}

    def loss(self, batch: Batch) -> Tensor:
        """Scalar: sum over (B, L) of `label_weights` times cross-entropy."""
        assert batch.labels is not None and batch.label_weights is not None
        logits = self.logits(batch)
        losses = F.cross_entropy(
            logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=-100, reduction="none"
        )
        return (losses * batch.label_weights.flatten()).sum()

    def logits(self, batch: Batch) -> Tensor:
        """(B, L, vocabulary) scores of the target tokens given the ones before."""
        states, mask = self.encode(batch)
        return self.bart(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=self.bart.prepare_decoder_input_ids_from_labels(batch.labels),
            use_cache=False,
        ).logits

    @torch.no_grad()
    def generate(self, batch: Batch, *, num_beams: int, max_new_tokens: int, **settings: Any) -> Tensor:
        """Token ids (B, at most 1 + max_new_tokens), start token included.

        Every field that a hub's generation defaults could change is set here; `settings`
        are further fields of transformers' GenerationConfig. What the decoder has no positions for is never
        generated, whatever `max_new_tokens` allows.
        """
        max_new_tokens = min(max_new_tokens, self.bart.config.max_position_embeddings - 1)
        states, mask = self.encode(batch)
        fields = {
            "do_sample": False,
            "no_repeat_ngram_size": 0,
            "early_stopping": num_beams > 1,
            "length_penalty": 1.0,
            "forced_bos_token_id": None,
            "forced_eos_token_id": None,
            **settings,
        }
        return self.bart.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            num_beams=num_beams,
            max_new_tokens=max_new_tokens,
            **fields,
        )

    def encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Encoder states (B, T + V, d) and their mask (B, T + V) bool.

        Raises:
            ValueError: a prompt has more tokens than the network has positions.
        """
        length, room = batch.input_ids.shape[1], self.bart.config.max_position_embeddings
        if length > room:
            raise ValueError(
                f"a prompt has {length} tokens, the network has positions for {room}; set "
                f"data.max_prompt_tokens={room} and data.on_long=truncate to cut such prompts"
            )
        encoder = self.bart.model.encoder
        tokens = encoder.embed_tokens(batch.input_ids)
        text = encoder.layernorm_embedding(tokens + encoder.embed_positions(batch.input_ids))
        states, mask = text, batch.attention_mask.bool()
        visual = self._visual(batch)
        if visual is not None:
            states = torch.cat((text, visual[0].to(text.dtype)), dim=1)
            mask = torch.cat((mask, visual[1]), dim=1)
        states = F.dropout(states, p=encoder.dropout, training=self.training)
        additive = torch.zeros(mask.shape, dtype=states.dtype, device=mask.device)
        additive = additive.masked_fill(~mask, torch.finfo(states.dtype).min)[:, None, None, :]
        for layer in encoder.layers:
            states = layer(states, additive)
        return states, mask

    def _visual(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Visual tokens (B, V, d) and their mask (B, V), or None for text alone."""
        features, mask = self._features(batch), batch.feature_mask
        if features is None:
            return None
        if features.shape[1] > self.visual_embedding.max_images:
            raise ValueError(
                f"a sample has {features.shape[1]} pictures, the network takes at most "
                f"{self.visual_embedding.max_images}; raise model.network.max_images"
            )
        if mask is None:
            mask = torch.ones(features.shape[:3], dtype=torch.bool, device=features.device)
        features, mask = self._pool(features, mask)
        if batch.image_mask is not None:
            mask = mask & batch.image_mask[:, :, None]
        if self.attends_to_padding:
            features, mask = self._filled_up(features, mask)
        embedded = self.visual_embedding(features, self.bart.model.shared.weight)
        return embedded.flatten(1, 2), mask.flatten(1)

    def _features(self, batch: Batch) -> Tensor | None:
        """(B, I, tokens, F) stored features, or what the tower makes of the pixels."""
        if batch.features is not None:
            return batch.features.to(self.visual_embedding.feature_projection.weight.dtype)
        if batch.pixels is None:
            return None
        if self.vision is None:
            raise ValueError(
                "the batch holds pixels but the network has no vision tower; set data.features=<folder> "
                "to read stored features, or choose a model with a tower"
            )
        return self.vision(batch.pixels.flatten(0, 1)).unflatten(0, batch.pixels.shape[:2])

    def _pool(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Max-pools the tokens of every picture to `num_visual_tokens`."""
        num_tokens, wanted = features.shape[2], self.num_visual_tokens
        if wanted is None or (num_tokens == wanted):
            return features, mask
        flat = features.flatten(0, 1).transpose(1, 2)
        if self.pooling == "sequence":
            if num_tokens < wanted:
                return features, mask
            # Each clip on its own: padding to a longer one in the batch must not change what is pooled.
            lengths = mask.flatten(0, 1).sum(1).tolist()
            pooled = [
                F.adaptive_max_pool1d(clip[:, :n], wanted) if n > wanted else clip[:, :wanted]
                for clip, n in zip(flat, lengths, strict=True)
            ]
            kept = torch.arange(wanted, device=mask.device) < mask.sum(2, keepdim=True)
            stacked = torch.stack(pooled).transpose(1, 2).unflatten(0, features.shape[:2])
            return stacked.masked_fill(~kept[..., None], 0.0), kept
        side, target = isqrt(num_tokens), isqrt(wanted)
        if side * side != num_tokens or target * target != wanted:
            raise ValueError(
                f"pooling {num_tokens} visual tokens to {wanted} needs square grids; "
                "set model.network.num_visual_tokens"
            )
        grid = F.adaptive_max_pool2d(flat.unflatten(2, (side, side)), target).flatten(2).transpose(1, 2)
        pooled_mask = mask[:, :, :1].expand(-1, -1, wanted)
        return grid.unflatten(0, features.shape[:2]), pooled_mask

    def _filled_up(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Zeros where nothing is real, up to `num_visual_tokens` of a sequence; the mask hides none."""
        features = features.masked_fill(~mask[..., None], 0.0)
        missing = (self.num_visual_tokens or 0) - features.shape[2]
        if self.pooling == "sequence" and missing > 0:
            features = F.pad(features, (0, 0, 0, missing))
        return features, torch.ones(features.shape[:3], dtype=torch.bool, device=features.device)
