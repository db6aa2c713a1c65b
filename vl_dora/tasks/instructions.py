"""Visual instructions: conversations about pictures, or about words alone (Liu et al. 2024, arXiv:2310.03744)

A row: {"row": 17, "id": "000000033471", "images": (ImageRef("coco/train2017/000000033471.jpg"),),
"conversations": [{"from": "human", "value": "<image>\\nWhat are the colors of the bus?"}, {"from": "gpt",
"value": "White and red."}]}; `turn` too, where a row is there for its last answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.batch import Example, Prediction
from vl_dora.metrics.ptb_tokenizer import tokenize
from vl_dora.metrics.rouge_l import rouge_l
from vl_dora.tasks.checks import scorable
from vl_dora.tasks.interface import ScoreReport
from vl_dora.tasks.submission import write_whole

IMAGE = "<image>"
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}

# What LLaVA-1.5 ends a question with that wants a short answer, or the letter of a choice.
SHORT = "Answer the question using a single word or phrase."
CHOICE = "Answer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Instructions:
    """Every answer of a conversation is learned; the last one is scored, those before it being given.

    Args:
        name: short name in files and logs.
    """

    name: str = "instructions"
    headline: str = "exact"
    loss_reduction: str = "token"

    def example(self, row: Mapping[str, Any]) -> Example:
        """The example of one conversation: its last pair is prompt and target, those before are `turns`.

        A question's only `<image>` goes in front of it, on a line of its own, as LLaVA was trained; several
        stay where they are.

        Raises:
            ValueError: turns out of order, an unknown role, an empty text, or pictures and `<image>` that
                are not equally many.
        """
        turns = _turns(row["conversations"])
        images = tuple(row["images"])
        places = sum(question.count(IMAGE) for question, _ in turns)
        if places != len(images):
            raise ValueError(
                f"{places} {IMAGE} in its questions, but {len(images)} pictures in 'image'; give as many"
            )
        *before, (prompt, target) = turns
        turn = f"#{row['turn']}" if "turn" in row else ""
        return Example(
            id=f"{row['row']}:{row['id']}{turn}",
            prompt=prompt,
            target=target,
            images=images,
            answers=(target,),
            turns=tuple(before),
            groups={
                "kind": kind_of([question for question, _ in turns]),
                "input": "picture" if images else "text",
            },
        )

    def score(self, predictions: Sequence[Prediction]) -> ScoreReport:
        """`exact` matches after lower case, white space and a last full stop are off; `rouge_l`, percent."""
        scorable(predictions)
        exact = {p.id: 100.0 * (plain(p.text) in map(plain, p.answers)) for p in predictions}
        said = tokenize([p.text for p in predictions])
        meant = [tokenize(p.answers) for p in predictions]
        overlap = [100 * rouge_l(text, answers) for text, answers in zip(said, meant, strict=True)]
        return ScoreReport(
            scores={"exact": _mean(list(exact.values())), "rouge_l": _mean(overlap)},
            by_type={
                name: _means(exact, {p.id: p.example.groups.get(name, "unknown") for p in predictions})
                for name in ("kind", "input")
            },
            per_sample=exact,
            # Answers of one conversation, and conversations about one picture, hang together.
            clusters={p.id: _cluster(p.example) for p in predictions},
        )

    def write_submission(self, predictions: Sequence[Prediction], directory: Path) -> list[Path]:
        """LLaVA's own layout `answers.jsonl`: question_id, prompt, text, metadata."""
        rows = (
            {"question_id": p.id, "prompt": p.example.prompt, "text": p.text.strip(), "metadata": {}}
            for p in predictions
        )
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        return [write_whole(Path(directory) / "answers.jsonl", text)]


def kind_of(questions: Sequence[str]) -> str:
    """What kind of answer the last question asks for, by the words that LLaVA-1.5 ends a question with.

    They hold for the questions that follow, too: LLaVA says them once a conversation.
    """
    for text in reversed([question.rstrip() for question in questions]):
        for ending, kind in ((SHORT, "short answer"), (CHOICE, "choice")):
            if text.endswith(ending):
                return kind
    return "free"


def plain(text: str) -> str:
    """A text without case, doubled white space and a last full stop."""
    return " ".join(text.lower().split()).rstrip(".").rstrip()


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(question, answer) pairs, stripped, pictures in their places.

    Raises:
        ValueError: they do not alternate from a person's question to the assistant's answer, or one is empty.
    """
    if not isinstance(messages, list | tuple):
        raise ValueError(f"'conversations' must be a list of messages, got {str(messages)[:60]!r}")
    if not messages:
        raise ValueError("'conversations' is empty")
    texts = []
    for number, message in enumerate(messages, start=1):
        if (
            not isinstance(message, Mapping)
            or "from" not in message
            or not isinstance(message.get("value"), str)
        ):
            raise ValueError(f"message {number} must be an object with 'from' and 'value' (a text)")
        role = ROLES.get(message["from"])
        if role is None:
            raise ValueError(
                f"message {number} is from {message['from']!r}; allowed: {', '.join(sorted(ROLES))}"
            )
        expected = "user" if number % 2 else "assistant"
        if role != expected:
            start = "a conversation starts with human, then gpt and human take turns"
            raise ValueError(f"message {number} is from {message['from']!r}; {start}")
        if role == "assistant" and IMAGE in message["value"]:
            raise ValueError(f"message {number} is an answer that holds {IMAGE}; pictures stand in questions")
        text = _placed(message["value"]) if role == "user" else message["value"].strip()
        if not text:
            raise ValueError(f"message {number}, from {message['from']!r}, is empty")
        texts.append(text)
    if len(texts) % 2:
        raise ValueError("the last message is a question without an answer")
    return list(zip(texts[::2], texts[1::2], strict=True))


def _placed(question: str) -> str:
    if question.count(IMAGE) != 1:
        return question.strip()
    return f"{IMAGE}\n{question.replace(IMAGE, '').strip()}"


def _cluster(example: Example) -> str:
    return example.images[0].path if example.images else example.id.partition("#")[0]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _means(values: Mapping[str, float], groups: Mapping[str, str]) -> dict[str, float]:
    return {
        name: _mean([values[key] for key, group in groups.items() if group == name])
        for name in sorted(set(groups.values()))
    }
