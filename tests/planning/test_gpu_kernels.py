"""What a CUDA device keeps for the backward pass, by the sizes of what autograd saves."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.graph import saved_tensors_hooks

from vl_dora.planning.gpu_kernels import GpuKernels
from vl_dora.planning.shapes_only import ShapesOnly

B, H, T, D = 2, 3, 17, 8


def saved(make) -> list[torch.Tensor]:
    """What autograd keeps of `make(a fake float tensor (B, H, T, D) that needs a gradient)`."""
    found: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    shapes = ShapesOnly()
    x = shapes.empty(B, H, T, D).requires_grad_()
    with GpuKernels(), shapes, saved_tensors_hooks(pack, lambda tensor: tensor):
        make(x)
    return found


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_keeps_no_weights_between_all_pairs_of_tokens(masked, dropout):
    mask = torch.ones(B, 1, T, T, dtype=torch.bool).tril() if masked else None
    kept = saved(lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=mask, dropout_p=dropout))
    assert not any(
        t.shape == (B, H, T, T) and t.untyped_storage().nbytes() >= 4 * B * H * T * T for t in kept
    )
    assert any(t.shape == (B, H, T, D) for t in kept)


def test_dropout_keeps_a_byte_a_number():
    (mask,) = saved(lambda x: F.dropout(x, 0.1))
    assert mask.dtype is torch.bool and mask.shape == (B, H, T, D)


def test_norms_are_float32_under_autocast_and_products_are_not():
    shapes = ShapesOnly()
    x, weight = shapes.empty(4, D), shapes.empty(D, D)
    with GpuKernels(), shapes, torch.autocast("cpu", dtype=torch.bfloat16):
        product = F.linear(x, weight)
        assert product.dtype is torch.bfloat16
        assert F.layer_norm(product, (D,)).dtype is torch.float32
        assert F.cross_entropy(product, torch.zeros(4, dtype=torch.long)).dtype is torch.float32
    with shapes, torch.autocast("cpu", dtype=torch.bfloat16):
        assert F.layer_norm(F.linear(x, weight), (D,)).dtype is torch.bfloat16
