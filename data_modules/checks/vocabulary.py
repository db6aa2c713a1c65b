"""Words that the tokenizer has no token for, and what the way back from tokens costs in score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_modules.checks.conversations import Conversations
from data_modules.checks.finding import OK, WARNING, Finding, counted, few
from data_modules.checks.rows import Rows
from data_modules.checks.texts import Spelling, Texts
from vl_dora.batch import Example, Prediction
from vl_dora.tasks.interface import Task

SCORED = 5000  # samples of a split that the ceiling is taken from
LOSS = 0.5  # percent of score that the tokenizer may cost unmentioned


def unknown_words(texts: Texts | Conversations) -> list[Finding]:
    """Words of prompts and targets with the unknown token in them, the most frequent first."""
    tokenizer = texts.data.tokenizer
    if tokenizer.unk_token_id is None:
        return []
    findings = []
    asked: list[tuple[str, Mapping[str, Spelling], Counter[str]]] = [
        ("prompt", texts.prompts, Counter(t for e, _ in texts.rows for t in texts.asked(e))),
        ("target", texts.targets, Counter(t for e, _ in texts.rows for t in texts.wanted(e))),
    ]
    for kind, spelled, samples in asked:
        words: Counter[str] = Counter()
        for text, spelling in spelled.items():
            if spelling.unknown:
                # A text that is unknown only as a whole is its own word.
                unknown = [w for w in text.split() if _is_unknown(tokenizer, w)] or [text]
                words.update({word: samples[text] for word in unknown})
        if words:
            names = [f"{word!r} in {counted(count, kind)}" for word, count in words.most_common()]
            text = f"spelled with the unknown token in {kind}s: {counted(len(words), 'word')}, {few(names)}"
            findings.append(Finding(WARNING, "words", text, names))
    if not findings and texts.rows:
        findings.append(Finding(OK, "words", "the tokenizer spells every word without its unknown token"))
    return findings


def _is_unknown(tokenizer: Any, word: str) -> bool:
    return tokenizer.unk_token_id in tokenizer(word, add_special_tokens=False)["input_ids"]


def ceiling(rows: Rows, task: Task, texts: Texts | Conversations, seed: int) -> list[Finding]:
    """The score of a network that says every target: as written, and as it comes back from its tokens."""
    chosen = [example for example, _ in rows if example.answers and example.target]
    if not chosen:
        return []
    order = np.random.default_rng(seed).permutation(len(chosen))[:SCORED]
    examples = [chosen[i] for i in sorted(order)]
    spelled = texts.encode_targets([example.target for example in examples])
    decoded = [text.strip() for text in texts.data.tokenizer.batch_decode(spelled, skip_special_tokens=True)]
    written = _score(task, examples, [example.target for example in examples])
    spoken = _score(task, examples, decoded)
    if isinstance(written, str) or isinstance(spoken, str):
        return [Finding(WARNING, "ceiling", f"the targets themselves cannot be scored: {written}")]
    of = "" if len(examples) == len(rows) else f" ({len(examples):,} of {len(rows):,} samples)"
    text = f"a network that says every target scores {task.headline} {spoken:.1f} %{of}"
    if written - spoken <= LOSS:
        return [Finding(OK, "ceiling", text)]
    changed = [
        f"{e.target!r} comes back as {d!r}" for e, d in zip(examples, decoded, strict=True) if e.target != d
    ]
    text = f"{text}, {written:.1f} % if the tokenizer did not change the words"
    return [Finding(WARNING, "ceiling", text, list(dict.fromkeys(changed)))]


def _score(task: Task, examples: list[Example], texts: list[str]) -> float | str:
    try:
        report = task.score(
            [Prediction(example, text) for example, text in zip(examples, texts, strict=True)]
        )
    except ValueError as error:
        return str(error)
    return report.scores[task.headline]
