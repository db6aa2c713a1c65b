"""The VL-BART reference, `LAST.pth`: the state of the whole network after training with DoRA.

An adapted layer holds `weight_v` (o, i), the frozen base weight; `weight_m` (o, 1); `lora_A` (r, i);
`lora_B` (o, r) and `bias` (o,). The scale is 1 whatever the recipe's alpha says, and the gradient flows
through the norm. The rest is BART under transformers' names, and the visual embedding under
`model.encoder.visual_embedding`. The last 200 rows of `model.shared` are random, frozen, and tell the
order of visual tokens: they travel with the adapter.
Shapes: o = out_features, i = in_features, r = rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.importers.axis import output_magnitude
from vl_dora.adapters.importers.placing import DRIFT, Foreign
from vl_dora.adapters.importers.stored import Stored
from vl_dora.adapters.matching import shorten

_OWN = {"lora_A": "lora_a", "lora_B": "lora_b", "weight_m": "magnitude"}
_VISUAL = "model.encoder.visual_embedding."
_VISUAL_NAMES = {
    "feat_embedding.0": "feature_projection",
    "feat_embedding.1": "feature_norm",
    "absolute_vis_pos_embedding.0": "box_projection",
    "absolute_vis_pos_embedding.1": "box_norm",
    "img_order_embedding": "image_order",
}
_TABLE = "model.shared.weight"
# Other names of the one token table.
_TIED = (
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
    _VISUAL + "obj_order_embedding.weight",
)


def recognises(stored: Stored) -> bool:
    """Whether a layer is split into direction and magnitude."""
    return any(key.endswith((".weight_v", ".weight_m")) for key in stored.tensors)


def read(network: nn.Module, stored: Stored) -> Foreign:
    """The adapter in our words, and the frozen weights that tell its base.

    Biases and layer norms count as trained where any of them differs from the base's.

    Raises:
        ValueError: the network is no VL-BART, a layer is incomplete, the token table is torn, a magnitude is
            of the other axis, or a tensor has no place.
    """
    modules = dict(network.named_modules())
    if "bart" not in modules or "visual_embedding" not in modules:
        raise ValueError(f"{stored.source} is of a VL-BART; this network is a {type(network).__name__}")
    tensors = dict(stored.tensors)
    table = _table(stored, tensors)
    layers = _layers(stored, tensors)
    named = {_name(key, layers): value for key, value in tensors.items()}
    trained: dict[str, Tensor] = {}
    frozen: dict[str, Tensor] = {}
    for path, own in layers.items():
        rows = len(own["weight_v"])
        own["weight_m"] = output_magnitude(stored.source, f"{path}.weight_m", own["weight_m"], rows)
        trained.update({f"bart.{path}.{ours}": own[theirs] for theirs, ours in _OWN.items()})
        frozen[f"bart.{path}.weight"] = own["weight_v"]
    here = dict(network.named_parameters()) | dict(network.named_buffers())
    lost = [name for name in named if _plain(name) not in here]
    if lost:
        raise ValueError(f"{stored.source} holds tensors without a place in this network: {shorten(lost)}")
    norms = {f"{path}." for path, module in modules.items() if isinstance(module, nn.LayerNorm)}
    kinds = {name: _kind(name, norms) for name in named}
    moved = {kinds[name] for name, value in named.items() if _differs(here[_plain(name)], value)}
    biases, layer_norms = bool(moved & {"bias", "norm bias"}), "norm" in moved
    training = {"visual"} | ({"bias", "norm bias"} if biases else set())
    training |= {"norm", "norm bias"} if layer_norms else set()
    for name, value in named.items():
        trains = kinds[name] in training
        (trained if trains else frozen)[name if trains else _plain(name)] = value
    first = dict(getattr(network, "adapter_extras", None) or {}).get(f"bart.{_TABLE}", len(table))
    frozen[f"bart.{_TABLE}"] = table[:first]
    rows_of = {f"bart.{_TABLE}": (first, table[first:])} if first < len(table) else {}
    return Foreign(stored.source, _selection(layers, biases, layer_norms), trained, frozen, rows_of)


def _table(stored: Stored, tensors: dict[str, Tensor]) -> Tensor:
    table = tensors.pop(_TABLE, None)
    if table is None:
        raise ValueError(
            f"{stored.source} lacks {_TABLE}, whose last rows the adapter rests on; give the whole LAST.pth"
        )
    for name in _TIED:
        twin = tensors.pop(name, table)
        if not torch.equal(twin, table):
            raise ValueError(f"{stored.source}: {name} and {_TABLE} differ, they must be one tied table")
    return table


def _layers(stored: Stored, tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Module path -> its own tensors, taken out of `tensors`; the bias stays there."""
    layers: dict[str, dict[str, Tensor]] = {}
    for key in list(tensors):
        path, _, leaf = key.rpartition(".")
        if leaf in (*_OWN, "weight_v"):
            layers.setdefault(path, {})[leaf] = tensors.pop(key)
    for path, own in layers.items():
        lacks = {*_OWN, "weight_v"} - set(own)
        if lacks:
            raise ValueError(f"{stored.source}: {path} lacks {', '.join(sorted(lacks))}")
    return layers


def _name(key: str, layers: Mapping[str, Any]) -> str:
    """The name in the adapted network."""
    if key.startswith(_VISUAL):
        inner, _, leaf = key.removeprefix(_VISUAL).rpartition(".")
        return f"visual_embedding.{_VISUAL_NAMES.get(inner, inner)}.{leaf}"
    path, _, leaf = key.rpartition(".")
    return f"bart.{path}.base.{leaf}" if path in layers else f"bart.{key}"


def _plain(name: str) -> str:
    return name.replace(".base.", ".")


def _kind(name: str, norms: set[str]) -> str:
    if name.startswith("visual_embedding."):
        return "visual"
    norm = name.startswith(tuple(norms))
    if name.endswith(".bias"):
        return "norm bias" if norm else "bias"
    return "norm" if norm else "frozen"


def _differs(base: Tensor, value: Tensor) -> bool:
    if base.shape != value.shape:
        return False  # the comparison of shapes, later, has the words for it
    difference = (base.detach().float().cpu() - value.float()).norm()
    return bool(difference > DRIFT * value.float().norm())


def _selection(layers: Mapping[str, Mapping[str, Tensor]], biases: bool, layer_norms: bool) -> dict[str, Any]:
    by_rank: dict[int, list[str]] = {}
    for path, own in layers.items():
        by_rank.setdefault(len(own["lora_A"]), []).append(path)
    rules = {
        f"rank_{rank}": {
            "method": "dora",
            "layers": paths,
            "rank": rank,
            "alpha": rank,
            "norm_gradient": "full",
        }
        for rank, paths in by_rank.items()
    }
    first, *rest = rules.items()
    language = {**first[1], "also": dict(rest), "biases": biases, "layer_norms": layer_norms}
    return {"projector": "full", "language": language}
