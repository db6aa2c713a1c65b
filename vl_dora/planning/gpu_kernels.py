"""What a CUDA device would do where it differs from a CPU, said to torch while it runs on shapes alone.

Three differences change what a training step keeps in memory:

autocast   CUDA computes norms, softmax, losses and powers in float32, a CPU leaves them in half precision
           (the list: torch's documentation, "CUDA Ops that can autocast to float32")
dropout    keeps a mask of one byte a number, a CPU keeps the mask in the numbers' dtype
attention  the flash or the memory-efficient kernel, which keep no (T, T) weights, with dropout too
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

_NAMES = (
    "__pow__ __rdiv__ __rpow__ acos asin cosh cumprod cumsum dist erfinv exp expm1 log log10 log1p log2 "
    "log_softmax logsumexp norm pow prod reciprocal renorm rsqrt sinh softmax sum tan"
).split()
_LOSSES_AND_NORMS = (
    "layer_norm group_norm rms_norm normalize softmax log_softmax softmin softplus cross_entropy nll_loss "
    "kl_div l1_loss mse_loss smooth_l1_loss cosine_similarity cosine_embedding_loss"
).split()
WIDENED = frozenset(
    getattr(owner, name)
    for owner, names in (
        (torch, _NAMES),
        (Tensor, _NAMES),
        (F, _LOSSES_AND_NORMS),
        (torch, _LOSSES_AND_NORMS),
    )
    for name in names
    if hasattr(owner, name)
)
HALVES = (torch.float16, torch.bfloat16)


class GpuKernels(TorchFunctionMode):
    """Inside of it attention, dropout and autocast keep what they keep on a CUDA device."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is F.dropout:
            return _dropout(*args, **kwargs)
        if func in WIDENED and torch.is_autocast_enabled("cpu"):
            args, kwargs = tree_map(_widened, (args, kwargs))
        return func(*args, **kwargs)


def _widened(leaf: Any) -> Any:
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in HALVES else leaf


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0.0 or inplace:
        return F.dropout(input, p, training, inplace)
    return torch.native_dropout(input, p, True)[0]


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The flash kernel for half precision without a mask, else the memory-efficient one, as torch chooses."""
    if torch.is_autocast_enabled("cpu"):
        narrow = torch.get_autocast_dtype("cpu")
        query, key, value = (t.to(narrow) if t.dtype is torch.float32 else t for t in (query, key, value))
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        times = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(times, -3) for t in (key, value))
    settings = {"scale": scale if scale is not None else 1 / math.sqrt(query.shape[-1])}
    if attn_mask is None and query.dtype in HALVES:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention
        return kernel(query, key, value, dropout_p, is_causal, False, **settings)[0]
    if attn_mask is not None:
        if attn_mask.dtype is torch.bool:
            attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, -math.inf)
        shape = (*query.shape[:-1], key.shape[-2])
        attn_mask = attn_mask.to(query.dtype).expand(shape)
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    kept = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return kernel(query, key, value, attn_mask, kept, dropout_p, is_causal, **settings)[0]
