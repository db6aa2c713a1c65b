"""The axis of a magnitude: one number an OUTPUT row, (o,) or (o, 1); any other shape is refused."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor


def output_magnitude(source: Path, name: str, magnitude: Tensor, rows: int) -> Tensor:
    """The magnitude as (o,).

    Args:
        source: for messages.
        name: of the tensor in the file.
        magnitude: as it was found.
        rows: o.

    Raises:
        ValueError: it is not one number for each of the `rows` rows.
    """
    if tuple(magnitude.shape) not in ((rows,), (rows, 1)):
        raise ValueError(
            f"{source}: {name} has shape {tuple(magnitude.shape)}; a magnitude here is one number for each "
            f"of the {rows} output rows, ({rows}, 1): this one is of the other axis or of another layer"
        )
    return magnitude.reshape(rows)
