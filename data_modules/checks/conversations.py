"""Conversations for decoder-only networks: lengths, what is cut, answers with nothing to learn."""

from __future__ import annotations

from collections.abc import Sequence

from data_modules.checks.finding import ERROR, OK, WARNING, Figures, Finding, Progress, histogram, percent
from data_modules.checks.rows import Rows, unfit
from data_modules.checks.texts import SHOWN_CUTS, Limits, spell, wanted
from data_modules.conversation_collate import ConversationCollate
from data_modules.conversation_tokens import Tokens
from data_modules.data_module import VisionLanguageDataModule
from data_modules.reading import CHUNK
from vl_dora.batch import VISUAL_PLACE, Example

LIMIT = "model.data.collate.max_tokens"


class Conversations:
    """The conversations of one split.

    Args:
        data: its tokenizer, clips and `on_error` count.
        collate: of the data module.
        rows: the samples.
        role: train, val or test.
        progress: shows how far tokenizing is.
    """

    def __init__(
        self,
        data: VisionLanguageDataModule,
        collate: ConversationCollate,
        rows: Rows,
        role: str,
        progress: Progress,
    ) -> None:
        self.data, self.collate, self.rows, self.role, self.progress = data, collate, rows, role, progress
        tokenizer = data.tokenizer
        questions = (text for e, _ in rows for text in self.asked(e))
        self.prompts = spell(questions, self.encode_targets, tokenizer, progress)
        answers = (text for e, _ in rows for text in self.wanted(e))
        self.targets = spell(answers, self.encode_targets, tokenizer, progress)

    def asked(self, example: Example) -> list[str]:
        """What people say in a conversation."""
        return [*(question for question, _ in example.turns), example.prompt]

    def wanted(self, example: Example) -> list[str]:
        """What the network is to say in it."""
        return [*(answer for _, answer in example.turns), *wanted(example, self.role)]

    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts on their own."""
        return self.data.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]

    def check(self, limits: Limits, figures: Figures) -> tuple[Rows, list[Finding]]:
        """The samples that fit, and what was found."""
        kept: Rows = []
        refused: list[str] = []
        beyond: list[str] = []
        short: list[str] = []
        lengths: list[int] = []
        learned: list[int] = []
        cuts: list[tuple[int, str]] = []
        starts = range(0, len(self.rows), CHUNK)
        for start in self.progress(starts, len(starts), "conversations"):
            for (example, where), row in self._encoded(self.rows[start : start + CHUNK], refused):
                lengths.append(len(row))
                try:
                    fitted = self._fitting(row, example)
                except ValueError as error:
                    refused.append(f"{where}: {error}")
                    continue
                if len(fitted) < len(row):
                    gone = self._words(row.ids[len(fitted) :])
                    cuts.append((len(row) - len(fitted), f"{where}: sample {example.id!r} loses {gone}"))
                if limits.positions is not None and len(fitted) > limits.positions:
                    beyond.append(f"{where}: sample {example.id!r}, {len(fitted):,} tokens")
                    continue
                answer = len(row) - row.prompt_length
                if self.role != "train" and limits.max_new_tokens and answer > limits.max_new_tokens:
                    short.append(f"{where}: sample {example.id!r}, {answer} tokens: {example.target!r}")
                learned.append(sum(fitted.supervised))
                kept.append((example, where))
        self._measure(lengths, learned, limits, figures)
        return kept, [
            *self._long(refused, cuts, lengths),
            *self._beyond(beyond, limits),
            *self._labels(),
            *self._generation(short, limits),
        ]

    def _encoded(self, rows: Rows, refused: list[str]) -> list[tuple[tuple[Example, str], Tokens]]:
        """Rows as tokens, at full length; those that cannot be written as a conversation are refused."""
        good, rendered = [], []
        for example, where in rows:
            clip = example.frames
            num = len(example.images) + (0 if clip is None else self.data.clips.settled(clip).count or 1)
            try:
                target = max(wanted(example, self.role), key=len) or None
                rendered.append(self.collate.render(example, target, num))
                good.append((example, where))
            except ValueError as error:
                refused.append(f"{where}: {error}")
        return list(zip(good, self.collate.encode(rendered), strict=True))

    def _fitting(self, row: Tokens, example: Example) -> Tokens:
        limit = self.collate.max_tokens
        if self.role != "train" and limit is not None and row.prompt_length >= limit:
            raise ValueError(
                f"sample {example.id!r}: its prompt has {row.prompt_length} tokens, {LIMIT}={limit} leaves "
                "no room for an answer; raise it"
            )
        return self.collate.fitting(row, example.id)

    def _words(self, ids: Sequence[int]) -> str:
        """What was cut: its text, and how many visual tokens."""
        visual = sum(i == VISUAL_PLACE for i in ids)
        text = self.data.tokenizer.decode([i for i in ids if i != VISUAL_PLACE]).strip()
        return f"{text!r}" + (f" and {visual} visual tokens" if visual else "")

    def _measure(
        self, lengths: Sequence[int], learned: Sequence[int], limits: Limits, figures: Figures
    ) -> None:
        lines = {LIMIT: self.collate.max_tokens, "positions of the network": limits.positions}
        known = {name: value for name, value in lines.items() if value is not None}
        if lengths:
            figures.lengths["tokens of a conversation"] = histogram(lengths, known)
        if learned and self.role == "train":
            figures.lengths["learned tokens of a conversation"] = histogram(learned)

    def _long(self, refused: list[str], cuts: list[tuple[int, str]], lengths: Sequence[int]) -> list[Finding]:
        total, findings = len(self.rows), []
        if refused:
            text = f"no use can be made of {len(refused):,} of {total:,} conversations"
            findings.append(unfit(self.data, "conversations", text, refused))
        if cuts:
            share = percent(len(cuts), total)
            text = f"data.on_long=truncate cuts {len(cuts):,} of {total:,} conversations ({share})"
            worst = [line for _, line in sorted(cuts, key=lambda cut: -cut[0])[:SHOWN_CUTS]]
            findings.append(Finding(WARNING, "conversations", text, worst))
        if lengths and not findings:
            text = f"conversations have {min(lengths):,} to {max(lengths):,} tokens, visual ones included"
            findings.append(Finding(OK, "conversations", text))
        return findings

    def _beyond(self, beyond: list[str], limits: Limits) -> list[Finding]:
        if not beyond:
            return []
        text = (
            f"longer than the {limits.positions:,} positions of the network "
            f"(model.network.text.max_position_embeddings): {len(beyond):,} of {len(self.rows):,} "
            f"conversations; set {LIMIT} with data.on_long=truncate"
        )
        return [unfit(self.data, "positions", text, beyond)]

    def _labels(self) -> list[Finding]:
        if self.role != "train":
            return []
        empty = [
            f"{where}: sample {e.id!r} has the answer {text!r}"
            for e, where in self.rows
            for text in self.wanted(e)
            if not self.targets[text].content
        ]
        if not empty:
            return [Finding(OK, "labels", "every answer has something to learn")] if self.rows else []
        text = f"answers with no token of their own, from which only silence is learned: {len(empty):,}"
        return [Finding(ERROR, "labels", text, empty)]

    def _generation(self, short: list[str], limits: Limits) -> list[Finding]:
        if not short:
            return []
        text = (
            f"generation.max_new_tokens={limits.max_new_tokens} ends before {len(short):,} of "
            f"{len(self.rows):,} targets do"
        )
        return [Finding(WARNING, "generation", text, short)]
