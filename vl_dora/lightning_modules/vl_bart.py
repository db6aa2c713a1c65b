"""VLBartModule: AdapterTuning for VL-BART."""

from __future__ import annotations

from vl_dora.lightning_modules.adapter_tuning import AdapterTuning


class VLBartModule(AdapterTuning):
    """Everything is in the base: VL-BART needs nothing of its own in training or evaluation."""
