"""LLaVA: a language model that reads projected picture features in the place of words.

Source: Liu et al. 2024, arXiv:2310.03744 (LLaVA-1.5); the modules are transformers' LLaVA, CLIP and LLaMA.
A picture's N tokens stand in a batch's `input_ids` as N times `VISUAL_PLACE`, so the vocabulary is the
language model's own (32,000 words for Vicuna) and text without pictures needs no stand-in for them.
Shapes: B samples, I pictures, N visual tokens a picture, F tower features, d model width, T tokens of a
row, P tokens of the longest prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from vl_dora.batch import VISUAL_PLACE, Batch
from vl_dora.models.clip_tower import ClipTower
from vl_dora.models.linear_cross_entropy import weighted_cross_entropy
from vl_dora.models.packed_rows import block_mask, order_of_samples, restarting_positions, starts

TOWER = "llava.model.vision_tower"


class Llava(nn.Module):
    """CLIP tower, two-layer projector and LLaMA, as transformers' LlavaForConditionalGeneration holds them.

    Args:
        vision: fields of `transformers.CLIPVisionConfig`.
        text: fields of `transformers.LlamaConfig`; `pad_token_id` and `eos_token_id` end generation.
        vision_feature_layer: which hidden state of the tower is read, counted from the end.
        checkpointing: layers of the language part are computed again in the backward pass instead of kept.
        loss_chunk: supervised tokens whose logits are held at a time; None: all of a batch.

    Attributes:
        unreachable: module path -> why no gradient reaches it; adapters there are refused.
        adapter_root: the transformers model, from which adapter files name modules.
        blocks: paths of the language part's layers.

    Raises:
        ValueError: an option outside what is allowed; later: pictures that do not fit the places for them.
    """

    def __init__(
        self,
        vision: Mapping[str, Any],
        text: Mapping[str, Any],
        vision_feature_layer: int = -2,
        checkpointing: bool = False,
        loss_chunk: int | None = 1024,
    ) -> None:
        super().__init__()
        if loss_chunk is not None and loss_chunk < 1:
            raise ValueError(
                f"model.network.loss_chunk={loss_chunk} must be at least 1 token, or null for all"
            )
        config = LlavaConfig(
            vision_config=CLIPVisionConfig(**vision),
            text_config=LlamaConfig(**text),
            vision_feature_layer=vision_feature_layer,
        )
        for name in ("pad_token_id", "eos_token_id"):
            if getattr(config.text_config, name, None) is None:
                raise ValueError(f"model.network.text.{name} is not set; generation needs it")
        self.llava = LlavaForConditionalGeneration(config)
        self.adapter_root = "llava"
        self.loss_chunk = loss_chunk
        self.vision_feature_layer = vision_feature_layer
        if checkpointing:
            _checkpoint_layers(self.llava.model.language_model)
        self.parts = {
            "vision": (TOWER,),
            "projector": ("llava.model.multi_modal_projector",),
            "language": ("llava.model.language_model", "llava.lm_head"),
        }
        depth = config.text_config.num_hidden_layers
        self.blocks = tuple(f"llava.model.language_model.layers.{number}" for number in range(depth))
        self.unreachable = {f"{TOWER}.{path}": why for path, why in self.vision.beyond().items()}

    @property
    def config(self) -> Any:
        """transformers' LlavaConfig; its `name_or_path` is the checkpoint that the weights are of."""
        return self.llava.config

    @property
    def vision(self) -> ClipTower:
        """The tower: uint8 (M, 3, size, size) -> (M, N, F)."""
        return ClipTower(self.llava.model.vision_tower, self.vision_feature_layer)

    def loss(self, batch: Batch) -> Tensor:
        """Scalar: sum over (B, T) of `label_weights` times cross-entropy, of supervised tokens alone."""
        assert batch.labels is not None and batch.label_weights is not None
        states = self._states(batch)[:, :-1]
        # Words that nobody learns never meet the vocabulary.
        chosen = batch.labels[:, 1:] != -100
        return weighted_cross_entropy(
            states[chosen],
            self.llava.lm_head,
            batch.labels[:, 1:][chosen],
            batch.label_weights[:, 1:][chosen],
            self.loss_chunk,
        )

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, V): at each place the scores of the token that stands there, given the ones before.

        Nothing comes before the first token of a sample, whose scores are zero.
        """
        scores = self.llava.lm_head(self._states(batch)[:, :-1])
        scores = torch.cat((torch.zeros_like(scores[:, :1]), scores), dim=1)
        if batch.segments is None:
            return scores
        return scores.masked_fill(starts(batch.segments)[..., None], 0)

    @torch.no_grad()
    def generate(self, batch: Batch, *, num_beams: int, max_new_tokens: int, **settings: Any) -> Tensor:
        """Token ids (B, at most max_new_tokens) that follow the prompts, which are padded on the left.

        Every field that a hub's generation defaults could change is set here; `settings` are further
        fields of transformers' GenerationConfig.
        """
        assert batch.segments is None, "packed rows are for training"
        ids, mask = _left_padded(batch)
        fields = {
            "do_sample": False,
            "no_repeat_ngram_size": 0,
            "early_stopping": num_beams > 1,
            "length_penalty": 1.0,
            "repetition_penalty": 1.0,
            "pad_token_id": self.llava.config.text_config.pad_token_id,
            "eos_token_id": self.llava.config.text_config.eos_token_id,
            **settings,
        }
        return self.llava.generate(
            inputs_embeds=self._embed(ids, batch),
            attention_mask=mask.long(),
            num_beams=num_beams,
            max_new_tokens=max_new_tokens,
            # Else transformers lets the processes of FSDP wait for each other at every token; here each holds
            # all weights while it generates (`lightning_modules/sharding.py`).
            synced_gpus=False,
            **fields,
        )

    def _states(self, batch: Batch) -> Tensor:
        """(B, T, d) last hidden states."""
        mask = batch.attention_mask
        # A tokenizer's padding may be a word that the table does not have.
        embedded = self._embed(batch.input_ids.masked_fill(~mask, 0), batch)
        language = self.llava.model.language_model
        if batch.segments is None:
            positions = (mask.long().cumsum(1) - 1).clamp_min(0)
            seen = mask.long()
        else:
            positions = restarting_positions(batch.segments)
            additive = language.config._attn_implementation == "eager"
            seen = block_mask(batch.segments, embedded.dtype, additive=additive)
        return language(
            inputs_embeds=embedded, attention_mask=seen, position_ids=positions, use_cache=False
        ).last_hidden_state

    def _embed(self, ids: Tensor, batch: Batch) -> Tensor:
        """(B, T, d): words from the token table, visual places filled in order with projected features."""
        places = ids == VISUAL_PLACE
        words = self.llava.model.language_model.embed_tokens(ids.masked_fill(places, 0))
        features = self._features(batch)
        num_tokens = 0 if features is None else features.shape[0] * features.shape[1]
        if int(places.sum()) != num_tokens:
            raise ValueError(
                f"the texts of a batch have {int(places.sum())} places for visual tokens, its pictures make "
                f"{num_tokens}; set model.data.collate.visual_tokens to what the tower makes of a picture"
            )
        if features is None:
            return words + self._nothing_seen(words)
        # The tower may be held in half precision beside a projector that trains.
        projector = self.llava.model.multi_modal_projector
        seen = projector(features.to(projector.linear_1.weight.dtype))
        return words.masked_scatter(places[..., None], seen.to(words.dtype))

    def _features(self, batch: Batch) -> Tensor | None:
        """(pictures of all samples, N, F) of the tower, stored or made now; None for text alone."""
        if batch.feature_mask is not None:
            raise ValueError(
                "LLaVA reads pictures of equally many visual tokens; stored features have several"
            )
        given = batch.features if batch.features is not None else batch.pixels
        if given is None:
            return None
        shown = batch.image_mask
        if batch.segments is not None:  # places are filled row by row
            order = order_of_samples(batch.segments)
            given, shown = given[order], None if shown is None else shown[order]
        pictures = given.flatten(0, 1) if shown is None else given[shown]
        if batch.features is not None:
            return pictures
        tower = self.vision
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and any(p.requires_grad for p in tower.parameters())
        ):
            return tower(pictures)

    def _nothing_seen(self, words: Tensor) -> Tensor:
        """Zero, made of all that trains on pictures: in every step every process has a gradient for it."""
        model = self.llava.model
        trained = [p for m in (model.vision_tower, model.multi_modal_projector) for p in m.parameters()]
        sums = [p.sum() for p in trained if p.requires_grad]
        return 0 * torch.stack(sums).sum().to(words.dtype) if sums else torch.zeros_like(words[:1, :1, :1])


def _left_padded(batch: Batch) -> tuple[Tensor, Tensor]:
    """(B, P) ids of the prompts and their mask; padding has id 0."""
    rows, lengths = batch.input_ids, batch.prompt_lengths
    assert lengths is not None
    width = int(lengths.max())
    places = torch.arange(width, device=rows.device)[None] - (width - lengths)[:, None]
    mask = places >= 0
    return rows.gather(1, places.clamp_min(0)).masked_fill(~mask, 0), mask


def _checkpoint_layers(language: Any) -> None:
    """Lets a transformers model compute its layers again in the backward pass; the method was renamed."""
    enable = (
        getattr(language, "activation_checkpointing_enable", None) or language.gradient_checkpointing_enable
    )
    enable({"use_reentrant": False})
