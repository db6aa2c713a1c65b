"""Samples to a `Batch` for a decoder-only network: whole conversations, supervised where answers stand.

An example is a conversation whose last question is `prompt` and last answer `target`, `turns` being what came
before. A prompt that does not say where its pictures stand has them before it, each as `<image>`, and a line
break. Padding is right of the text; what a network generates from ends at `prompt_lengths`.
Shapes: B samples, T tokens of the longest conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from data_modules.collate import IGNORED, Sample, length_mask, right_padded, stack_visuals
from data_modules.conversation_tokens import Tokens, begin_token, tokenize
from data_modules.templates import IMAGE, TEMPLATES, Rendered, jinja_of
from vl_dora.batch import VISUAL_PLACE, Batch, Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class ConversationCollate:
    """Turns a list of samples into a batch of conversations.

    Args:
        tokenizer: of the base; a fast one with an end token.
        max_prompt_tokens: None; it is an option of encoder-decoders.
        max_target_tokens: None, likewise.
        reduction: "sample": a sample weighs weight / (its supervised tokens * B) per token; "token": every
            supervised token of the batch weighs weight / (their number).
        on_long: "raise" or "truncate" (from the right, never through a picture) on a longer conversation.
        visual_tokens: of a picture, as the tower makes them.
        template: vicuna_v1 or chat.
        max_tokens: limit of T; None: no limit.

    Raises:
        ValueError: an option outside what is allowed, or a tokenizer that does not tell characters.
    """

    tokenizer: PreTrainedTokenizerBase
    max_prompt_tokens: int | None = None
    max_target_tokens: int | None = None
    reduction: str = "token"
    on_long: str = "raise"
    visual_tokens: int = 576
    template: str = "vicuna_v1"
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.reduction not in ("sample", "token"):
            raise ValueError(f"task.loss_reduction={self.reduction!r} must be sample or token")
        if self.on_long not in ("raise", "truncate"):
            raise ValueError(
                f"data.on_long={self.on_long!r} must be raise or truncate for a decoder-only model"
            )
        for key in ("max_prompt_tokens", "max_target_tokens"):
            if getattr(self, key) is not None:
                raise ValueError(
                    f"data.{key}={getattr(self, key)} is an option of encoder-decoders; a decoder-only model "
                    "reads prompt and answers as one text, limited by model.data.collate.max_tokens"
                )
        for name, value in (("visual_tokens", self.visual_tokens), ("max_tokens", self.max_tokens)):
            if value is not None and value < 1:
                raise ValueError(f"model.data.collate.{name}={value} must be at least 1")
        if self.template not in TEMPLATES:
            raise ValueError(
                f"model.data.collate.template={self.template!r} must be one of {', '.join(TEMPLATES)}"
            )
        if self.tokenizer.eos_token_id is None or not getattr(self.tokenizer, "is_fast", False):
            raise ValueError(
                "the tokenizer has no end token, or is none of the fast ones, which tell the characters that "
                "a token stands for; name another (model.tokenizer)"
            )

    def __call__(self, samples: Sequence[Sample | ValueError]) -> Batch | ValueError:
        """The batch of these samples; an error among them is passed on instead."""
        errors = [s for s in samples if isinstance(s, ValueError)]
        if errors:
            return errors[0]
        good = [s for s in samples if isinstance(s, Sample)]
        rows = self.encode([self._rendered(s) for s in good])
        cut = [self.fitting(row, s.example.id) for row, s in zip(rows, good, strict=True)]
        good = [self._with_seen_pictures(s, row) for s, row in zip(good, cut, strict=True)]
        ids = right_padded([row.ids for row in cut], 0 if self._padding is None else self._padding)
        pixels, features, image_mask, feature_mask = stack_visuals([s.visuals for s in good])
        labels = right_padded(
            [
                [i if of_answer else IGNORED for i, of_answer in zip(r.ids, r.supervised, strict=True)]
                for r in cut
            ],
            IGNORED,
        )
        return Batch(
            examples=tuple(s.example for s in good),
            input_ids=ids,
            attention_mask=length_mask([row.ids for row in cut], ids.shape[1]),
            pixels=pixels,
            features=features,
            image_mask=image_mask,
            feature_mask=feature_mask,
            labels=labels,
            label_weights=self._weights(labels, [s.weight for s in good]),
            prompt_lengths=torch.tensor([row.prompt_length for row in cut]),
        )

    def encode(self, conversations: Sequence[Rendered]) -> list[Tokens]:
        """Tokens of rendered conversations, at full length."""
        return tokenize(conversations, self.tokenizer, self.visual_tokens)

    def chat_template(self) -> str | None:
        """Jinja that makes of messages what this collate makes of conversations; None where there is none."""
        begins = begin_token(self.tokenizer) is not None
        return jinja_of(self.template, self.tokenizer, str(self.tokenizer.bos_token) if begins else "")

    def told_otherwise(self, words: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[str]:
        """Ids of the examples of whose prompts a processor of transformers makes other tokens.

        It puts a word `<image>` for every visual token into the text and tokenizes the whole, where this
        collate tokenizes the pieces between pictures; tokenizers differ in what they make of a piece's start.

        Args:
            words: the processor's tokenizer, which knows `<image>`.
            examples: without clips.
        """
        image = words.convert_tokens_to_ids(IMAGE)
        begins = begin_token(self.tokenizer) is not None
        found = []
        for example in examples:
            rendered = self.render(example, None, len(example.images))
            text = rendered.text.replace(IMAGE, IMAGE * self.visual_tokens)
            text = f"{self.tokenizer.bos_token}{text}" if begins else text
            ids = words(text, add_special_tokens=False, verbose=False)["input_ids"]
            ours = self.encode([rendered])[0].ids
            if [VISUAL_PLACE if token == image else token for token in ids] != ours:
                found.append(example.id)
        return found

    def render(self, example: Example, target: str | None, num_pictures: int) -> Rendered:
        """An example as one text.

        Args:
            example: the conversation.
            target: the last answer; None: it is to be generated.
            num_pictures: that its `<image>` stand for.

        Raises:
            ValueError: as many pictures as places are needed; a special token in what people wrote.
        """
        prompt = example.prompt
        questions = [question for question, _ in example.turns]
        places = sum(text.count(IMAGE) for text in (*questions, prompt))
        if places == 0 and num_pictures:
            front = IMAGE * num_pictures + "\n"
            places = num_pictures
            if questions:
                questions[0] = front + questions[0]
            else:
                prompt = front + prompt
        if places != num_pictures:
            raise ValueError(
                f"sample {example.id!r}: its text has {places} places {IMAGE}, it has {num_pictures} pictures"
            )
        answers = [answer for _, answer in example.turns]
        for text in (*questions, prompt, *answers, target or ""):
            special = next((t for t in self.tokenizer.all_special_tokens if t != IMAGE and t in text), None)
            if special is not None:
                raise ValueError(
                    f"sample {example.id!r}: its text holds {special!r}, a special token of the "
                    "tokenizer; take it out of the file, or set data.on_error=skip"
                )
        turns = [*zip(questions, answers, strict=True), (prompt, target)]
        return TEMPLATES[self.template](turns, self.tokenizer)

    def fitting(self, row: Tokens, name: str) -> Tokens:
        """The row, cut to `max_tokens` where `on_long` is truncate; a picture is kept whole or left out.

        Raises:
            ValueError: it is too long under "raise", or what is left of it has no supervised token though it
                had some.
        """
        limit = self.max_tokens
        if limit is None or len(row) <= limit:
            return row
        if self.on_long == "raise":
            raise ValueError(
                f"sample {name!r}: its conversation has {len(row)} tokens, model.data.collate.max_tokens="
                f"{limit} allows {limit}; raise it, or set data.on_long=truncate"
            )
        end = limit
        if row.ids[limit] == VISUAL_PLACE:
            seen = sum(i == VISUAL_PLACE for i in row.ids[:limit]) % self.visual_tokens
            end = limit - seen
        cut = Tokens(row.ids[:end], row.supervised[:end], min(row.prompt_length, end))
        if any(row.supervised) and not any(cut.supervised):
            raise ValueError(
                f"sample {name!r}: no token of an answer is among its first {limit} "
                "(model.data.collate.max_tokens), so nothing of it can be learned"
            )
        return cut

    def _rendered(self, sample: Sample) -> Rendered:
        self._check_features(sample)
        return self.render(sample.example, sample.target, len(sample.visuals))

    def _check_features(self, sample: Sample) -> None:
        for array in sample.visuals:
            if array.ndim == 2 and len(array) != self.visual_tokens:
                raise ValueError(
                    f"sample {sample.example.id!r}: a picture has {len(array)} stored tokens, "
                    f"model.data.collate.visual_tokens={self.visual_tokens}"
                )

    def _with_seen_pictures(self, sample: Sample, row: Tokens) -> Sample:
        """The sample without the pictures that were cut off."""
        return replace(sample, visuals=sample.visuals[: row.ids.count(VISUAL_PLACE) // self.visual_tokens])

    @property
    def _padding(self) -> int | None:
        return self.tokenizer.pad_token_id

    def _weights(self, labels: Tensor, scores: Sequence[float]) -> Tensor:
        """(B, T) weights of the loss; zero where nothing is supervised."""
        chosen = labels != IGNORED
        numbers = chosen.sum(1, keepdim=True)
        shares = (
            numbers.clamp(min=1) * len(labels) if self.reduction == "sample" else numbers.sum().clamp(min=1)
        )
        return torch.tensor(scores, dtype=torch.float32)[:, None] / shares * chosen
