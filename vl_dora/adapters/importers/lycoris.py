"""LyCORIS and kohya files, which are refused: their magnitude lies along the other axis.

`dora_scale` holds one number for each INPUT column (i,) of the weight; the paper's authors and PEFT hold
one for each output row (o,). On a square layer the shapes cannot tell them apart, the key's name can.
"""

from __future__ import annotations

from collections.abc import Iterable

from vl_dora.adapters.importers.stored import Stored

_STARTS = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lycoris_")
_ENDS = (".dora_scale", ".lora_down.weight", ".lora_up.weight", ".hada_w1_a", ".lokr_w1")


def recognises(keys: Iterable[str]) -> str | None:
    """The first key that only LyCORIS or kohya write; a `dora_scale` before all others."""
    keys = list(keys)
    scales = [key for key in keys if key == "dora_scale" or key.endswith(".dora_scale")]
    others = [key for key in keys if key.startswith(_STARTS) or key.endswith(_ENDS)]
    return next(iter([*scales, *others]), None)


def refuse(stored: Stored, key: str) -> None:
    """Says why.

    Raises:
        ValueError: always.
    """
    found = f"{key} of shape {tuple(stored.tensors[key].shape)}"
    if key.endswith("dora_scale"):
        raise ValueError(
            f"{stored.source} is a LyCORIS or kohya file, it holds {found}: one magnitude for each input "
            f"column, while DoRA here has one for each output row; no exact translation exists, train it anew"
        )
    raise ValueError(
        f"{stored.source} is a LyCORIS or kohya file, it holds {found}; those formats are not read, "
        f"save the adapter in PEFT's format"
    )
