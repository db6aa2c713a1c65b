"""Where a step is, layer by layer, so that the ledger keeps a moment for each layer, forward and backward.

Places are named by the nearer end. Forward: "forward" before the first layer, then "forward 0", "forward 1",
"forward inside", "forward -2", "forward -1", and "forward after". Backward: "backward" from the loss to the
last layer, "backward -1" down to "backward 0", and "backward after" from the input of the first layer on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from vl_dora.planning.ledger import Ledger

EDGE = 2  # layers at either end that are places of their own
INSIDE = "inside"


def watch(layers: Sequence[nn.Module], ledger: Ledger) -> list[Any]:
    """Lets modules that run one after the other tell the ledger its place; returns handles of the hooks."""
    handles: list[Any] = []
    for number, layer in enumerate(layers):
        name = _name(number, len(layers))

        def begins(
            _: nn.Module, args: tuple, kwargs: dict[str, Any], name: str = name, number: int = number
        ) -> None:
            if ledger.kind == "working":  # a checkpoint is computed again
                return
            if number == 0:
                _tell(_first((*args, *kwargs.values())), ledger, "backward after")
            ledger.place = f"forward {name}"

        def ends(_: nn.Module, args: tuple, out: Any, name: str = name, number: int = number) -> None:
            if ledger.kind == "working":
                return
            _tell(_first(out if isinstance(out, tuple | list) else (out,)), ledger, f"backward {name}")
            if number == len(layers) - 1:
                ledger.place = "forward after"

        handles.append(layer.register_forward_pre_hook(begins, with_kwargs=True))
        handles.append(layer.register_forward_hook(ends))
    return handles


def _name(number: int, count: int) -> str:
    if number < EDGE:
        return str(number)
    return str(number - count) if number >= count - EDGE else INSIDE


def _first(values: Sequence[Any]) -> Tensor | None:
    return next((value for value in values if isinstance(value, Tensor)), None)


def _tell(tensor: Tensor | None, ledger: Ledger, place: str) -> None:
    """Once the gradient of a tensor is there, the ledger is in this place."""
    if tensor is not None and tensor.requires_grad:
        tensor.register_hook(partial(_arrived, ledger, place))


def _arrived(ledger: Ledger, place: str, gradient: Tensor) -> None:
    ledger.place = place
