"""What every score asks of the predictions that it is given."""

from __future__ import annotations

from collections.abc import Sequence

from vl_dora.batch import Prediction


def scorable(predictions: Sequence[Prediction]) -> None:
    """Checks that there are predictions, that their ids differ and that each can be compared.

    Raises:
        ValueError: one of these does not hold; the first such id is named.
    """
    if not predictions:
        raise ValueError(
            "there are no predictions to score; the split is empty or all its samples were skipped"
        )
    seen: set[str] = set()
    for prediction in predictions:
        if prediction.id in seen:
            raise ValueError(f"the id {prediction.id!r} was predicted twice; each sample may be scored once")
        seen.add(prediction.id)
        if not prediction.answers:
            raise ValueError(
                f"the sample {prediction.id!r} has no answers to score against; score a split with public "
                "answers (data.split), or write only the submission file"
            )


def has_field(prompt: str, name: str) -> None:
    """Checks that a prompt template has the place `{name}` to be filled; ValueError otherwise."""
    if f"{{{name}}}" not in prompt:
        raise ValueError(f"task.prompt={prompt!r} must contain {{{name}}}, where the text of the row goes")
