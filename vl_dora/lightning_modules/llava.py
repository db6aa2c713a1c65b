"""LlavaModule: AdapterTuning for LLaVA, whose frozen weights may be held in half precision."""

from __future__ import annotations

from typing import Any

import torch

from vl_dora.lightning_modules.adapter_tuning import AdapterTuning

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class LlavaModule(AdapterTuning):
    """Everything but the dtype of what is frozen is in the base.

    Args:
        frozen_dtype: bfloat16 or float16: floating-point weights that do not train are held so, at half the
            memory; what trains stays as it is, because steps of AdamW are lost in rounding there. Train with
            trainer.precision=bf16-mixed. None: nothing changes.
        settings: those of `AdapterTuning`.

    Raises:
        ValueError: another word for `frozen_dtype`.
    """

    def __init__(self, *, frozen_dtype: str | None = None, **settings: Any) -> None:
        if frozen_dtype is not None and frozen_dtype not in DTYPES:
            raise ValueError(
                f"model.module.frozen_dtype={frozen_dtype!r} must be one of {', '.join(DTYPES)}, or null"
            )
        super().__init__(**settings)
        if frozen_dtype is not None:
            for parameter in self.network.parameters():  # type: ignore[attr-defined]
                if not parameter.requires_grad and parameter.is_floating_point():
                    parameter.data = parameter.data.to(DTYPES[frozen_dtype])
