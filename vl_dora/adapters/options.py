"""The options of each method in a selection, and the values that they can have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from vl_dora.adapters.dora import DROPOUT_MODES, NORM_GRADIENTS
from vl_dora.adapters.initialization import INITS
from vl_dora.adapters.layer import check_number, check_switch, check_word
from vl_dora.adapters.merged_forward import MERGED_FORWARDS
from vl_dora.adapters.projected import check_start
from vl_dora.adapters.projections import check_projections
from vl_dora.adapters.quantization import QUANTIZATIONS
from vl_dora.adapters.quantized import check_quantized_start

_LOW_RANK = ("layers", "rank", "alpha", "dropout", "rslora", "init", "lr_ratio")
_PROJECTED = ("layers", "rank", "d_initial", "dropout", "projection_seed")
_RESCALED = ("dropout_mode", "norm_gradient")
# What may be set for a method; lr, biases and layer_norms may be set for every one.
OPTIONS: dict[str, tuple[str, ...]] = {
    "frozen": (),
    "full": ("layers",),
    "lora": (*_LOW_RANK, "quantization"),
    "dora": (*_LOW_RANK, *_RESCALED, "merged_forward", "quantization"),
    "magnitude": ("layers", "quantization"),
    "vera": _PROJECTED,
    "dvora": (*_PROJECTED, *_RESCALED),
}
METHODS = tuple(OPTIONS)
# Options that speak of the rule as a whole and not to its layers.
OF_THE_RULE = ("layers", "lr_ratio", "quantization")

_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "alpha": lambda name, value: check_number(name, value, low=0.0, high=math.inf),
    "dropout": lambda name, value: check_number(name, value, low=0.0, high=1.0),
    "dropout_mode": lambda name, value: check_word(name, value, DROPOUT_MODES),
    "norm_gradient": lambda name, value: check_word(name, value, NORM_GRADIENTS),
    "merged_forward": lambda name, value: check_word(name, value, MERGED_FORWARDS),
    "quantization": lambda name, value: check_word(name, value, QUANTIZATIONS),
    "rslora": check_switch,
    "init": lambda name, value: check_word(name, value, INITS),
    "d_initial": lambda name, value: check_start(value),
    "projection_seed": lambda name, value: check_projections(1, value),
    "lr_ratio": lambda name, value: _check_ratio(name, value),
}


def check_values(options: Mapping[str, Any]) -> None:
    """Stops on a value that an option cannot have.

    Args:
        options: name -> value, those left at their default not among them.

    Raises:
        ValueError: such a value; the sentence begins with the option's name.
    """
    for name, value in options.items():
        if name in _CHECKS:
            _CHECKS[name](name, value)
    if options.get("merged_forward") == "always" and options.get("dropout"):
        raise ValueError(
            f"merged_forward='always' needs dropout 0, here {options['dropout']}; use merged_forward='auto'"
        )
    if options.get("quantization") is not None:
        check_quantized_start(options.get("init", "kaiming"))


def _check_ratio(name: str, value: Any) -> None:
    check_number(name, value, low=0.0, high=math.inf)
    if value == 0:
        raise ValueError(f"{name}=0 would keep B at its start; it must be above 0, and 1 is no ratio at all")
