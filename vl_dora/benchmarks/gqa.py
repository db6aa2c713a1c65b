"""GQA: predictions, questions and choices in the official layouts.

Predictions: [{"questionId": "05515938", "prediction": "yes"}, ...]
References: val_all_questions.json or the like, {"05515938": {"question": "Is it red?", "imageId": "2381",
"answer": "yes", "isBalanced": true, "groups": {"global": null, "local": "..."}, "entailed": ["05515939"],
"types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"},
"semantic": [{"operation": "select", "dependencies": [], "argument": "car (1)"}, ...]}}
Choices: val_choices.json, {"05515938": {"valid": ["yes", "no"], "plausible": ["yes", "no"]}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vl_dora.benchmarks.fields import as_object, take
from vl_dora.benchmarks.files import answers_of, as_text, matched, values_of
from vl_dora.metrics import gqa
from vl_dora.metrics.statistic import Scored


@dataclass(frozen=True)
class GQA:
    """The scores of the official `eval.py`, percent, without grounding, which needs attention maps.

    Args:
        choices: the file of valid and plausible answers; None: those two scores are left out.
    """

    choices: str | None = None

    def __call__(self, predictions: Path, references: Path) -> Scored:
        """Scores predictions against the questions; ValueError names what is wrong in the files."""
        said = answers_of(predictions, ("questionId",), ("prediction",))
        rows = values_of(references, "references")
        texts = matched(said, rows, files=(predictions, references))
        questions = {name: _question(name, row, references) for name, row in rows.items()}
        answers = {name: as_text(text, name) for name, text in zip(rows, texts, strict=True)}
        return gqa.score(answers, questions, self._choices(questions))

    def _choices(self, questions: Mapping[str, gqa.Question]) -> dict[str, gqa.Choices] | None:
        if self.choices is None:
            return None
        rows = values_of(self.choices, "choices")
        missing = [name for name, question in questions.items() if question.balanced and name not in rows]
        if missing:
            raise ValueError(
                f"choices={self.choices} has no choices for {len(missing)} balanced questions, such as "
                f"{', '.join(missing[:3])}"
            )
        found = {}
        for name in questions.keys() & rows.keys():
            where = f"{self.choices}, question {name}"
            row = as_object(rows[name], where)
            found[name] = gqa.Choices(
                frozenset(take(row, "valid", list, where)), frozenset(take(row, "plausible", list, where))
            )
        return found


def _question(name: str, value: Any, path: Path) -> gqa.Question:
    where = f"{path}, question {name}"
    row = as_object(value, where)
    types = take(row, "types", dict, where)
    entailed = [str(other) for other in row.get("entailed", ())]
    program = [(str(step["operation"]), str(step["argument"])) for step in row.get("semantic", ())]
    group = row.get("groups", {}).get("global")
    balanced = row.get("isBalanced")
    if not isinstance(balanced, bool):
        raise ValueError(f"{where}: 'isBalanced' must be true or false, got {balanced!r}")
    return gqa.Question(
        answer=take(row, "answer", str, where),
        image=str(row.get("imageId", name)),
        balanced=balanced,
        structural=take(types, "structural", str, where),
        semantic=take(types, "semantic", str, where),
        detailed=take(types, "detailed", str, where),
        group=None if group is None else str(group),
        entailed=tuple(other for other in entailed if other != name),
        num_steps=gqa.num_steps(program),
        num_words=len(take(row, "question", str, where).split()),
    )
