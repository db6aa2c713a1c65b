"""Adapters by part: frozen, full, LoRA, DoRA, magnitude-only, VeRA or DVoRA, for any `nn.Module`.

Choose with `apply_adapters`, train with `parameter_groups` and `MovementCheck`, keep with
`save_adapter` and `load_adapter` (PEFT's format), run at the base's cost with `merge`.
"""

from vl_dora.adapters.apply import Adaptation, adaptation_of, adapted_layers, apply_adapters
from vl_dora.adapters.audit import AdaptationAudit, AuditRow, PartTotal
from vl_dora.adapters.dora import DoRALinear
from vl_dora.adapters.dvora import DVoRALinear
from vl_dora.adapters.files import load_adapter, save_adapter
from vl_dora.adapters.importers import import_adapter
from vl_dora.adapters.layer import AdaptedLayer, AdaptedLinear
from vl_dora.adapters.lora import LoRALinear
from vl_dora.adapters.magnitude import MagnitudeLinear
from vl_dora.adapters.merging import merge, merged, unmerge
from vl_dora.adapters.movement import MovementCheck
from vl_dora.adapters.parameter_groups import parameter_groups
from vl_dora.adapters.plain_state import plain_state
from vl_dora.adapters.projections import shared_matrices
from vl_dora.adapters.selection import METHODS, Rule, read_selection
from vl_dora.adapters.state import load_trainable_state, trainable_state
from vl_dora.adapters.vera import VeRALinear

__all__ = [
    "METHODS",
    "Adaptation",
    "AdaptationAudit",
    "AdaptedLayer",
    "AdaptedLinear",
    "AuditRow",
    "DVoRALinear",
    "DoRALinear",
    "LoRALinear",
    "MagnitudeLinear",
    "MovementCheck",
    "PartTotal",
    "Rule",
    "VeRALinear",
    "adaptation_of",
    "adapted_layers",
    "apply_adapters",
    "import_adapter",
    "load_adapter",
    "load_trainable_state",
    "merge",
    "merged",
    "parameter_groups",
    "plain_state",
    "read_selection",
    "save_adapter",
    "shared_matrices",
    "trainable_state",
    "unmerge",
]
