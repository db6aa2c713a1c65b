"""Lengths in tokens against every limit, the exact text that is cut, and labels with nothing to learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from data_modules.checks.finding import (
    ERROR,
    OK,
    WARNING,
    Figures,
    Finding,
    Progress,
    counted,
    histogram,
    percent,
)
from data_modules.checks.rows import Rows, unfit
from data_modules.collate import Collate, Sample
from data_modules.data_module import VisionLanguageDataModule
from data_modules.reading import CHUNK
from vl_dora.batch import Example

SHOWN_CUTS = 20  # samples whose cut text is spelled out, the longest first


@dataclass(frozen=True)
class Limits:
    """What the network and the config allow beside the limits of the data module.

    Args:
        positions: tokens of text that the network has positions for; None: as many as one likes.
        max_images: pictures and frames of a sample; None: as many as one likes.
        max_new_tokens: how long generated text may be; None: unknown.
    """

    positions: int | None = None
    max_images: int | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Spelling:
    """What the tokenizer makes of one text.

    Args:
        length: tokens, special ones included.
        content: tokens that are not special.
        unknown: whether one of them is the unknown token.
    """

    length: int
    content: int
    unknown: bool


def spell(
    texts: Iterable[str],
    encode: Callable[[Sequence[str]], list[list[int]]],
    tokenizer: Any,
    progress: Progress,
) -> dict[str, Spelling]:
    """Every distinct text as tokens, a few thousand at a time."""
    special, unknown = special_ids(tokenizer), tokenizer.unk_token_id
    distinct = sorted(set(texts))
    found: dict[str, Spelling] = {}
    for start in progress(range(0, len(distinct), CHUNK), -(-len(distinct) // CHUNK), "tokens of texts"):
        chunk = distinct[start : start + CHUNK]
        for text, ids in zip(chunk, encode(chunk), strict=True):
            content = sum(i not in special or i == unknown for i in ids)
            found[text] = Spelling(len(ids), content, unknown is not None and unknown in ids)
    return found


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids that decoding leaves out."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset({*tokenizer.all_special_ids, *added})


def wanted(example: Example, role: str) -> list[str]:
    """The texts that a sample may ask the network for."""
    drawn = [text for text, score in example.targets if score > 0] if role == "train" else []
    return drawn or [example.target]


class Texts:
    """The texts of one split.

    Args:
        data: its tokenizer and `on_error` count.
        collate: of the data module.
        rows: the samples.
        role: train, val or test.
        progress: shows how far tokenizing is.
    """

    def __init__(
        self, data: VisionLanguageDataModule, collate: Collate, rows: Rows, role: str, progress: Progress
    ) -> None:
        self.data, self.collate, self.rows, self.role = data, collate, rows, role
        tokenizer = data.tokenizer
        self.prompts = spell((e.prompt for e, _ in rows), self.collate.encode_prompts, tokenizer, progress)
        texts = (text for e, _ in rows for text in wanted(e, role))
        self.targets = spell(texts, self.collate.encode_targets, tokenizer, progress)

    def asked(self, example: Example) -> list[str]:
        """The texts that the network is given."""
        return [example.prompt]

    def wanted(self, example: Example) -> list[str]:
        """The texts that it may have to write."""
        return wanted(example, self.role)

    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of targets."""
        return self.collate.encode_targets(texts)

    def check(self, limits: Limits, figures: Figures) -> tuple[Rows, list[Finding]]:
        """The samples that fit, and what was found."""
        if not self.rows:
            return [], []
        long: dict[str, list[tuple[int, Example, str]]] = {"prompt": [], "target": []}
        lengths: dict[str, list[int]] = {"prompt": [], "target": []}
        refused: dict[str, list[str]] = {"prompt": [], "target": []}
        beyond: list[str] = []
        kept: Rows = []
        for example, where in self.rows:
            found = {
                "prompt": self.prompts[example.prompt].length,
                "target": max(self.targets[text].length for text in self.wanted(example)),
            }
            fits = True
            for kind, length in found.items():
                lengths[kind].append(length)
                if not self.collate.too_long(length, example.id, kind):
                    continue
                length, problem = self._left(example, kind, length)
                if problem:
                    refused[kind].append(f"{where}: {problem}")
                    fits = False
                else:
                    long[kind].append((found[kind], example, where))
                    found[kind] = length
            over = [k for k, n in found.items() if limits.positions is not None and n > limits.positions]
            if fits and over:
                fits = False
                beyond += [f"{where}: sample {example.id!r}, {found[k]:,} tokens of {k}" for k in over]
            if fits:
                kept.append((example, where))
        findings = [
            finding
            for kind in lengths
            for finding in self._lengths(kind, lengths, long, refused, limits, figures)
        ]
        if beyond:
            text = (
                f"longer than the {limits.positions:,} positions of the network "
                f"(model.network.text.max_position_embeddings): {counted(len(beyond), 'text')}; set "
                "data.max_prompt_tokens or data.max_target_tokens with data.on_long=truncate"
            )
            findings.append(unfit(self.data, "positions", text, beyond))
        return kept, [*findings, *self._labels(), *self._generation(limits)]

    def _left(self, example: Example, kind: str, length: int) -> tuple[int, str | None]:
        """Tokens of a text once it is cut as data.on_long says, or why it cannot be used."""
        if kind == "prompt" and self.collate.on_long == "shorten":
            prompt = self.collate.shortened(example).prompt
            length = len(self.collate.encode_prompts([prompt])[0])
        problem = self.collate.too_long(length, example.id, kind)
        if problem and self.collate.on_long == "truncate":
            limit = self.collate.max_prompt_tokens if kind == "prompt" else self.collate.max_target_tokens
            assert limit is not None
            return limit, None
        return length, problem

    def _lengths(
        self,
        kind: str,
        lengths: Mapping[str, list[int]],
        long: Mapping[str, list[tuple[int, Example, str]]],
        refused: Mapping[str, list[str]],
        limits: Limits,
        figures: Figures,
    ) -> list[Finding]:
        key = f"max_{kind}_tokens"
        limit = getattr(self.collate, key)
        lines = {f"data.{key}": limit, "positions of the network": limits.positions}
        if kind == "target" and self.role != "train":
            lines["generation.max_new_tokens"] = limits.max_new_tokens
        shape = histogram(lengths[kind], {name: value for name, value in lines.items() if value is not None})
        figures.lengths[f"tokens of a {kind}"] = shape
        total, check, findings = len(self.rows), f"{kind}s", []
        if refused[kind]:
            text = f"{len(refused[kind]):,} of {total:,} {kind}s are longer than data.{key}={limit}"
            findings.append(unfit(self.data, check, text, refused[kind]))
        if long[kind]:
            share = percent(len(long[kind]), total)
            text = (
                f"data.on_long={self.collate.on_long} cuts {len(long[kind]):,} of {total:,} {kind}s ({share})"
            )
            worst = sorted(long[kind], key=lambda entry: -entry[0])[:SHOWN_CUTS]
            cuts = [f"{where}: sample {e.id!r} loses {self._cut(e, kind)!r}" for _, e, where in worst]
            findings.append(Finding(WARNING, check, text, cuts))
        if not findings:
            allowed = "no limit is set" if limit is None else f"data.{key}={limit}"
            low, middle, high = (f"{shape[key]:,.0f}" for key in ("min", "median", "max"))
            span = f"{low} to {high} tokens, half of them {middle} at most"
            if shape["min"] == shape["max"]:
                span = f"{high} tokens each"
            text = f"{kind}s have {span}; {allowed}"
            findings.append(Finding(OK, check, text))
        return findings

    def _cut(self, example: Example, kind: str) -> str:
        """The text that the collated batch lacks."""
        text = example.prompt
        if kind == "target":
            text = max(self.wanted(example), key=lambda target: self.targets[target].length)
        batch = self.collate([Sample(example, text if kind == "target" else example.target or None)])
        assert not isinstance(batch, ValueError)
        encode = self.collate.encode_prompts if kind == "prompt" else self.collate.encode_targets
        rest = batch.input_ids[0][batch.attention_mask[0]] if kind == "prompt" else batch.labels
        assert rest is not None
        return self.data.tokenizer.decode(
            removed(encode([text])[0], torch.atleast_2d(rest)[0].tolist())
        ).strip()

    def _labels(self) -> list[Finding]:
        """Targets of which nothing but special tokens is left."""
        if self.role != "train":
            return []
        empty = [
            f"{where}: sample {e.id!r} has the target {text!r}"
            for e, where in self.rows
            for text in self.wanted(e)
            if not self.targets[text].content
        ]
        if empty:
            text = f"targets of special tokens alone, from which only silence is learned: {len(empty):,}"
            return [Finding(ERROR, "labels", text, empty)]
        return [
            Finding(
                OK, "labels", f"each of the {len(self.targets):,} distinct targets has something to learn"
            )
        ]

    def _generation(self, limits: Limits) -> list[Finding]:
        """Targets that generation would stop short of."""
        most = limits.max_new_tokens
        if most is None or self.role == "train":
            return []
        short = [
            f"{where}: sample {e.id!r}, {self.targets[e.target].length} tokens: {e.target!r}"
            for e, where in self.rows
            if e.target and self.targets[e.target].length > most
        ]
        if not short:
            return []
        text = f"generation.max_new_tokens={most} ends before {len(short):,} of {len(self.rows):,} targets do"
        return [Finding(WARNING, "generation", text, short)]


def removed(full: Sequence[int], kept: Sequence[int]) -> list[int]:
    """What lies between the longest common beginning and the longest common end behind it."""
    begin = 0
    while begin < min(len(full), len(kept)) and full[begin] == kept[begin]:
        begin += 1
    end = 0
    while end < min(len(full), len(kept)) - begin and full[len(full) - 1 - end] == kept[len(kept) - 1 - end]:
        end += 1
    return list(full[begin : len(full) - end])
