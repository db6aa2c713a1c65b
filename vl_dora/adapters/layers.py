"""Which class adapts a layer of the base, by method and by kind of layer."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from torch import nn

from vl_dora.adapters.conv import DoRAConv, LoRAConv, MagnitudeConv
from vl_dora.adapters.dora import DoRALinear
from vl_dora.adapters.dvora import DVoRALinear
from vl_dora.adapters.embedding import DoRAEmbedding, LoRAEmbedding, MagnitudeEmbedding
from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.lora import LoRALinear
from vl_dora.adapters.magnitude import MagnitudeLinear
from vl_dora.adapters.projected import ProjectedLinear
from vl_dora.adapters.projections import SharedProjections
from vl_dora.adapters.quantization import quantized
from vl_dora.adapters.quantized import QuantizedDoRALinear, QuantizedLoRALinear, QuantizedMagnitudeLinear
from vl_dora.adapters.vera import VeRALinear

# Method -> the classes that do it, each for its own kinds of layers; the first that takes a layer has it.
LAYERS: dict[str, tuple[type[AdaptedLayer], ...]] = {
    "lora": (LoRALinear, QuantizedLoRALinear, LoRAConv, LoRAEmbedding),
    "dora": (DoRALinear, QuantizedDoRALinear, DoRAConv, DoRAEmbedding),
    "magnitude": (MagnitudeLinear, QuantizedMagnitudeLinear, MagnitudeConv, MagnitudeEmbedding),
    "vera": (VeRALinear,),
    "dvora": (DVoRALinear,),
}
# Those of them for weights in 4 or 8 bits.
QUANTIZED: dict[str, type[AdaptedLayer]] = {
    "lora": QuantizedLoRALinear,
    "dora": QuantizedDoRALinear,
    "magnitude": QuantizedMagnitudeLinear,
}
# Values that ask for nothing, which a rule may have although some of its layers lack the option.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "dropout": (0.0,),
    "dropout_mode": ("branch", "reference"),  # equal without dropout
    "merged_forward": ("auto", "never"),
    "init": ("kaiming",),
}
# Options that shape what the layers of a rule share, and do not reach the single layer.
SHARED = ("rank", "projection_seed")


def adapts(method: str, module: nn.Module) -> bool:
    """Whether a method can adapt this module."""
    return any(kind.takes(module) for kind in LAYERS[method])


def layer_for(method: str, module: nn.Module) -> type[AdaptedLayer]:
    """The class that adapts this module by this method.

    Raises:
        ValueError: there is none; the sentence lists what the method can adapt.
    """
    for kind in LAYERS[method]:
        if kind.takes(module):
            return kind
    raise ValueError(f"method {method} cannot adapt a {type(module).__name__}; it adapts {adaptable(method)}")


def adaptable(method: str) -> str:
    """The kinds of layers that a method adapts, for messages: nn.Linear, ..."""
    return ", ".join(dict.fromkeys(f"nn.{kind.__name__}" for c in LAYERS[method] for kind in c.kinds))


def check_options(
    method: str, module: nn.Module, options: Mapping[str, Any], quantization: str | None = None
) -> None:
    """Stops on an option that the method has, but not on this kind of layer, and on too great a rank.

    Args:
        method: one of `LAYERS`.
        module: layer of the base.
        options: keyword arguments of the class.
        quantization: how its weight is going to be held; None: as it is.

    Raises:
        ValueError: such an option is set.
    """
    kind, held = layer_for(method, module), ""
    if quantization is not None:
        if not isinstance(module, nn.Linear):
            raise ValueError(
                f"quantization={quantization!r} is for nn.Linear, not for a {type(module).__name__}; give "
                f"such layers a rule of their own under `also`"
            )
        kind, held = QUANTIZED[method], f" held in {quantization}"
    known = {*signature(kind).parameters, *(SHARED if _projected(method) else ())}
    for name, value in options.items():
        if name not in known and value not in NEUTRAL.get(name, ()):
            raise ValueError(
                f"{name}={value!r} means nothing to method {method} on a {type(module).__name__}{held}; "
                f"leave it out, or give such layers a rule of their own under `also`"
            )
    if "rank" in options:
        kind.check_rank(options["rank"], module)


def make_layers(
    method: str,
    modules: Mapping[str, nn.Module],
    options: Mapping[str, Any],
    quantization: str | None = None,
) -> dict[str, AdaptedLayer]:
    """The adapted layers of one rule, path -> layer; the bases are frozen and kept, not copied.

    Args:
        method: one of `LAYERS`.
        modules: path -> layer of the base.
        options: keyword arguments of the classes.
        quantization: how the weights are to be held from now on; None: as they are.

    Raises:
        ValueError: a layer cannot be adapted, or not be quantized.
    """
    options = dict(options)
    if quantization is not None:
        modules = {path: quantized(module, quantization) for path, module in modules.items()}
    if _projected(method):
        rank, seed = options.pop("rank"), options.pop("projection_seed", 0)
        bases: list[Any] = list(modules.values())
        options["projections"] = SharedProjections.for_layers(bases, rank=rank, seed=seed)
    return {path: _made(layer_for(method, module), module, options) for path, module in modules.items()}


def _made(kind: type[AdaptedLayer], module: nn.Module, options: Mapping[str, Any]) -> AdaptedLayer:
    known = signature(kind).parameters
    return kind(module, **{name: value for name, value in options.items() if name in known})


def _projected(method: str) -> bool:
    return all(issubclass(kind, ProjectedLinear) for kind in LAYERS[method])
