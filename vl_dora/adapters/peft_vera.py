"""PEFT's VeRA directories: their config, and the matrices that some of them hold beside the vectors.

PEFT draws A and B as this room does (`projections.py`), once for a whole directory. So a network whose
layers are all of method vera and share one pair is written in that format, without the matrices; one that
PEFT wrote is read if its matrices, where it holds them, are those of its seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vl_dora.adapters.apply import adapted_layers
from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.projected import ProjectedLinear
from vl_dora.adapters.vera import VeRALinear

PEFT_TYPE = "VERA"
MATRICES = ("base_model.vera_A", "base_model.vera_B")


def is_vera(layers: Mapping[str, AdaptedLayer]) -> bool:
    """Whether PEFT's VeRA can hold these layers: all of the method, and one pair and one dropout for all."""
    first = next(iter(layers.values()), None)
    return isinstance(first, VeRALinear) and all(
        isinstance(layer, VeRALinear)
        and layer.projections is first.projections
        and layer.dropout.p == first.dropout.p
        for layer in layers.values()
    )


def vera_options(layers: Mapping[str, AdaptedLayer]) -> dict[str, Any]:
    """What PEFT's config of such layers has of its own."""
    first = next(iter(layers.values()))
    assert isinstance(first, VeRALinear)
    return {
        "peft_type": PEFT_TYPE,
        "r": first.rank,
        "projection_prng_key": first.projections.seed,
        "save_projection": False,
        "vera_dropout": first.dropout.p,
        "d_initial": first.d_initial,
        "init_weights": True,
    }


def vera_rule(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rule that a config of PEFT stands for, without its layers."""
    rule = {
        "method": "vera",
        "rank": config.get("r", 256),
        "projection_seed": config.get("projection_prng_key", 0),
        "d_initial": config.get("d_initial", 0.1),
    }
    return rule | ({"dropout": config["vera_dropout"]} if config.get("vera_dropout") else {})


def remembered_by_peft(layer: AdaptedLayer, config: Mapping[str, Any]) -> dict[str, int]:
    """What `layer.remembered()` has to be for a directory that PEFT wrote."""
    if not isinstance(layer, ProjectedLinear):
        return {}
    rule = vera_rule(config)
    return {**layer.remembered(), "projection_seed": rule["projection_seed"], "rank": rule["rank"]}


def without_matrices(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a file: those of the layers, and A and B where they are there."""
    matrices = {key: tensors[key] for key in MATRICES if key in tensors}
    return {key: tensor for key, tensor in tensors.items() if key not in matrices}, matrices


def check_matrices(network: nn.Module, matrices: Mapping[str, Tensor], file: str) -> None:
    """Stops where a file's matrices are not those that its seed draws here.

    Raises:
        ValueError: they differ in shape or value.
    """
    for layer in adapted_layers(network).values():
        if isinstance(layer, ProjectedLinear):
            pair = dict(zip(MATRICES, (layer.projections.a, layer.projections.b), strict=True))
            for key, read in matrices.items():
                own = pair[key]
                if own.shape != read.shape or not torch.equal(own, read.to(own)):
                    raise ValueError(
                        f"{file}: {key} {tuple(read.shape)} is not the matrix {tuple(own.shape)} that "
                        f"projection_prng_key={layer.projections.seed} draws for the layers of this network"
                    )
