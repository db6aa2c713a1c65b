"""LLaVA's file of answers, which its benchmarks are scored from: one JSON object a line.

    {"question_id": 262144000, "prompt": "Is the ball ...", "text": "Yes", "answer_id": "...", "model_id":
    "my_run", "metadata": {}}

`question_id` is written as the question file has it, number or text. `answer_id`, a random word in LLaVA, is
here one of model, question and answer, so that the same answers are the same file.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from vl_dora.batch import Prediction
from vl_dora.tasks.submission import write_whole

ASKED_ID = "asked_id"
"""The group of an example that holds its question_id as JSON."""
FILE = "answers.jsonl"


def asked_id(row: Mapping[str, Any]) -> dict[str, str]:
    """What an example's groups must hold of a row for `write_llava_answers`."""
    return {ASKED_ID: json.dumps(row["asked_id"], ensure_ascii=False)}


def write_llava_answers(
    directory: Path,
    predictions: Sequence[Prediction],
    model_id: str,
    prompt: Callable[[Prediction], str] = lambda prediction: prediction.example.prompt,
) -> Path:
    """Writes `answers.jsonl`, a line a prediction in their order.

    Args:
        directory: made where it is missing.
        predictions: of examples whose groups hold `asked_id`.
        model_id: name of the model, or a path, whose last part is the name.
        prompt: what is written as the prompt.
    """
    model = PurePath(model_id).name or model_id
    lines = []
    for prediction in predictions:
        number = json.loads(prediction.example.groups[ASKED_ID])
        name = f"{model}\n{prediction.id}\n{prediction.text}"
        row = {
            "question_id": number,
            "prompt": prompt(prediction),
            "text": prediction.text,
            "answer_id": uuid.uuid5(uuid.NAMESPACE_OID, name).hex,
            "model_id": model,
            "metadata": {},
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return write_whole(Path(directory) / FILE, "".join(lines))


def pictures_of(predictions: Sequence[Prediction]) -> dict[str, str]:
    """Id -> picture: questions about one picture are one cluster; without a picture each is its own."""
    return {p.id: p.example.images[0].path if p.example.images else p.id for p in predictions}
