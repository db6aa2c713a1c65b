"""TextVQA: LLaVA's answers or EvalAI's, against TextVQA_0.5.1_val.json.

Predictions: either [{"question_id": 34602, "answer": "dakota"}, ...], or LLaVA's JSON lines {"question_id":
"003a8ae2ef43b901", "prompt": "what is the brand?\\nReference OCR token: ...", "text": "dakota"}, where
question_id is the picture: these are joined by picture and the question, lower-cased, that is cut out of the
prompt.
References: {"data": [{"question_id": 34602, "image_id": "003a8ae2ef43b901", "question": "what is the
brand?", "answers": [ten texts]}, ...]}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.benchmarks.fields import take
from vl_dora.benchmarks.files import answers_of, as_text, by_id, id_of, matched, rows_of
from vl_dora.metrics.statistic import Scored, at_once, means
from vl_dora.metrics.textvqa_accuracy import textvqa_accuracy

_SHORT_ANSWER = re.compile(r"Question: (.*?) Short answer:", re.DOTALL)
_OCR = "Reference OCR token:"


def question_of(prompt: str) -> str:
    """The question inside one of the prompts that LLaVA asks with, lower-cased.

    Raises:
        ValueError: the prompt has none of the known forms.
    """
    lines = prompt.split("\n")
    if prompt.startswith("OCR tokens: "):
        found = _SHORT_ANSWER.search(prompt)
        if found:
            return found[1].lower()
    elif _OCR in prompt and len(lines) == 3:
        return lines[1 if prompt.startswith(_OCR) else 0].lower()
    elif len(lines) == 2:
        return lines[0].lower()
    raise ValueError(
        f"no question can be cut out of the prompt {prompt!r}; known: the question, a line that starts with "
        f"{_OCR!r} where there is one, and the line with the instruction"
    )


@dataclass(frozen=True)
class TextVQA:
    """TextVQA accuracy in percent."""

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores answers against the annotations; ValueError names what is wrong in them."""
        answered = rows_of(predictions, "predictions")
        by_prompt = bool(answered) and "prompt" in answered[0][0]

        def key(row: dict[str, Any], where: str) -> str:
            if not by_prompt:
                return id_of(row, ("question_id",), where)
            question = take(row, "question", str, where).lower()
            return f"{id_of(row, ('image_id',), where)}: {question}"

        def key_of_answer(row: dict[str, Any], where: str) -> str:
            question = question_of(take(row, "prompt", str, where))
            return f"{id_of(row, ('question_id',), where)}: {question}"

        rows = by_id(rows_of(references, "references"), key, f"references={references}")
        if by_prompt:
            texts = by_id(answered, key_of_answer, f"predictions={predictions}")
            said = {name: take(row, "text", str, f"{predictions}, {name}") for name, row in texts.items()}
        else:
            said = answers_of(predictions, ("question_id",), ("answer",))
        right = []
        for name, text in zip(rows, matched(said, rows, files=(predictions, references)), strict=True):
            humans = take(rows[name], "answers", list, f"{references}, question {name}")
            right.append(textvqa_accuracy(as_text(text, name), humans))
        statistic = means({"accuracy": right}, scale=100.0)
        return Scored(
            scores=at_once(statistic, len(right)),
            scale="percent",
            statistic=statistic,
            clusters=[str(row.get("image_id", name)) for name, row in rows.items()],
        )
