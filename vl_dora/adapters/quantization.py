"""Linear layers whose weights bitsandbytes holds in 4 or 8 bits.

nf4    4-bit NormalFloat, blocks of 64, their scales quantized again   Dettmers et al. 2023, arXiv:2305.14314
int8   8-bit rows, outlier columns of the input apart (LLM.int8())     Dettmers et al. 2022, arXiv:2208.07339

bitsandbytes takes half a minute to import and is optional: it is imported only where something is to be
quantized, and a network that holds such layers has imported it already.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

QUANTIZATIONS = ("nf4", "int8")
# Inputs above it are multiplied in their own precision; bitsandbytes' and transformers' value.
OUTLIERS = 6.0


def quantization_of(module: nn.Module) -> str | None:
    """How bitsandbytes holds this layer's weight: nf4, fp4 or int8; None: it does not."""
    library = sys.modules.get("bitsandbytes")
    layers = getattr(library, "nn", None)
    if layers is None:  # then there is no such layer either
        return None
    if isinstance(module, layers.Linear4bit):
        return str(module.weight.quant_type)
    return "int8" if isinstance(module, layers.Linear8bitLt) else None


def check_available(where: str) -> None:
    """Stops where bitsandbytes is asked for and not installed; does not import it.

    Args:
        where: the option, with its value, that asks.

    Raises:
        ValueError: it is not installed.
    """
    if "bitsandbytes" not in sys.modules and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(
            f"{where} needs the package bitsandbytes, which is not installed; install it "
            f"(pip install bitsandbytes), or set quantization to null"
        )


def quantized(linear: Any, quantization: str) -> nn.Linear:
    """The layer with its weight in 4 or 8 bits, its bias the very same parameter; `linear` stays as it is.

    On the meta device there is nothing to round, and `linear` itself comes back.

    Args:
        linear: an nn.Linear, its weight in float32, float16 or bfloat16.
        quantization: nf4 or int8.

    Raises:
        ValueError: the weight is of another dtype, or quantized already.
    """
    weight = linear.weight
    if quantization_of(linear) is not None:
        raise ValueError(
            f"the weight is held in {quantization_of(linear)} already; leave quantization out or null"
        )
    if weight.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise ValueError(
            f"a weight of {weight.dtype} cannot be quantized to {quantization}; allowed: float32, float16, "
            f"bfloat16"
        )
    if weight.is_meta:
        return linear
    library, made = _library(), {"bias": linear.bias is not None, "device": "meta"}
    layer: Any
    if quantization == "nf4":
        layer = library.nn.Linear4bit(linear.in_features, linear.out_features, quant_type="nf4", **made)
        held = library.nn.Params4bit(
            weight.detach().clone(), requires_grad=False, quant_type="nf4", module=layer
        )
    else:
        layer = library.nn.Linear8bitLt(
            linear.in_features, linear.out_features, has_fp16_weights=False, threshold=OUTLIERS, **made
        )
        held = library.nn.Int8Params(weight.detach().clone(), requires_grad=False, has_fp16_weights=False)
    layer.weight = held.to(weight.device)
    layer.bias = linear.bias
    layer.plain_dtype = weight.dtype
    return layer.train(linear.training)


def dequantized(base: Any) -> Tensor:
    """The weight (o, i) that the bits stand for, in floating point; made anew at every call.

    Raises:
        ValueError: the weight is not quantized yet, or packed for bitsandbytes' CPU kernel.
    """
    library, weight = _library(), base.weight
    if quantization_of(base) == "int8":
        rows, scales = int8_parts(base)
        return rows.float() * (scales.float() / 127.0)[:, None]
    state = weight.quant_state
    if state is None:
        raise ValueError(f"{base} is not quantized yet; move it to its device first")
    if getattr(state, "packing_format_for_cpu", False):
        # The way back re-quantizes the scales: the weight would be another one.
        raise ValueError(
            f"{base} was packed for inference on a CPU when it ran in evaluation mode by itself; load the "
            f"network again"
        )
    return library.functional.dequantize_4bit(weight.data, state)


def plain_dtype(base: Any) -> torch.dtype:
    """The dtype of the weight before it was quantized; float16 where that is not known of 8 bits."""
    if quantization_of(base) != "int8":
        return base.weight.quant_state.dtype
    return getattr(base, "plain_dtype", torch.float16)


def int8_parts(base: Any) -> tuple[Tensor, Tensor]:
    """The whole numbers (o, i) of an 8-bit layer and the largest size in every row (o,).

    Raises:
        ValueError: the weight is not quantized yet.
    """
    rows = base.weight.data
    scales = base.weight.SCB if base.state.SCB is None else base.state.SCB
    if rows.dtype != torch.int8 or scales is None:
        raise ValueError(f"{base} is not quantized yet; move it to its device first")
    # Of an 8-bit layer that moves inside of a network only the rows move along.
    return rows, scales.to(rows.device)


def base_product(base: Any, x: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b, in the dtype of x, by the kernels that `base(x)` runs, without changing the base.

    `base(x)` itself may cast the frozen bias to the dtype of x, and pack the weight anew. Without a
    `compute_dtype` of its own the base computes in the dtype of x.

    Args:
        base: the quantized layer.
        x: (..., i).
        bias: b (o,) or None.
    """
    library = _library()
    if quantization_of(base) == "int8":
        rows, scales = int8_parts(base)
        base.state.CB, base.state.SCB, base.state.is_training = rows, scales, base.training
        bias = None if bias is None else bias.to(x.dtype)
        return library.matmul(x, base.weight, bias=bias, state=base.state)
    seen = x.to(base.compute_dtype or x.dtype)
    bias = None if bias is None else bias.to(seen.dtype)
    return library.matmul_4bit(seen, base.weight, bias=bias, quant_state=base.weight.quant_state).to(x.dtype)


def num_parameters(parameter: Tensor) -> int:
    """How many numbers a parameter stands for; packed ones are more than they take room for."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())


def _library() -> ModuleType:
    return importlib.import_module("bitsandbytes")
