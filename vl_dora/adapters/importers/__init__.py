"""Adapters in the formats of others: told apart by the names of their tensors, magnitudes always kept.

| format | told by | what becomes of it |
|---|---|---|
| VL-BART reference, `LAST.pth` | `.weight_v`, `.weight_m` | `vl_bart_reference` |
| LLM fork | `.weight_m_wdecomp.weight` | `llm_fork` |
| LLaVA fork, two files | `.weight_m_wdecomp.default.weight` | `llava_fork` |
| LoRA of LLaVA's own code, two files | `.lora_A.weight` and, beside it, `.mm_projector.` | `llava_lora` |
| LyCORIS, kohya | `.dora_scale`, `lora_unet_…` | refused: `lycoris` |
| PEFT, also as a pickle | `.lora_A.weight` | as `load_adapter` |
"""

from vl_dora.adapters.importers.dispatch import import_adapter

__all__ = ["import_adapter"]
