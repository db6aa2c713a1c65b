"""The layers that `benchmark_adapters.py` compares, all of them over one and the same `nn.Linear`.

Every contender starts from the same numbers: rank r, s = 2, B away from zero, m away from the norm.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vl_dora.adapters import DoRALinear, LoRALinear

SCALE = 2.0


@dataclass
class Contender:
    """One layer, or one whole network, in the race.

    Args:
        name: as the table calls it.
        module: what runs.
        before: done before every micro-batch, inside the measured time.
        trained: name (lora_a, lora_b, magnitude) -> parameter, for the comparison with float64.
    """

    name: str
    module: nn.Module
    before: Callable[[], None] = lambda: None
    trained: dict[str, nn.Parameter] = field(default_factory=dict)


class PlainLoRA(nn.Module):
    """LoRA as one writes it: y = W x + b + s B (A x~), under torch's own autograd."""

    def __init__(self, base: nn.Linear, rank: int, dropout: float) -> None:
        super().__init__()
        self.base, self.dropout = base.requires_grad_(False), nn.Dropout(dropout)
        self.lora_a = nn.Parameter(base.weight.new_empty(rank, base.in_features, dtype=torch.float32))
        self.lora_b = nn.Parameter(base.weight.new_empty(base.out_features, rank, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(self.dropout(x), self.lora_a.to(x.dtype))
        return self.base(x) + F.linear(low, self.lora_b.to(x.dtype)) * SCALE


class ReferenceDoRA(PlainLoRA):
    """DoRA as its authors write it: the norm from the materialised W + s B A, in every forward.

    Without dropout the rescaled weight itself is multiplied with x; with dropout the output is
    corrected, y = W x + b + (c - 1) * (W x~) + c * s * (B A x~).
    """

    def __init__(self, base: nn.Linear, rank: int, dropout: float) -> None:
        super().__init__(base, rank, dropout)
        self.magnitude = nn.Parameter(base.weight.new_empty(base.out_features, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.base.weight
        shifted = weight + (SCALE * (self.lora_b @ self.lora_a)).to(weight.dtype)
        gain = self.magnitude / shifted.detach().float().norm(dim=1)
        if self.dropout.p == 0:
            return F.linear(x, (gain[:, None] * shifted).to(x.dtype), self.base.bias)
        seen = self.dropout(x)
        update = F.linear(F.linear(seen, self.lora_a.to(x.dtype)), self.lora_b.to(x.dtype)) * SCALE
        gain = gain.to(x.dtype)
        return self.base(x) + (gain - 1) * F.linear(seen, weight) + gain * update


def base_layer(rows: int, columns: int, device: torch.device, dtype: torch.dtype) -> nn.Linear:
    """A frozen linear layer with weights of the size that trained networks have."""
    generator = torch.Generator().manual_seed(0)
    base = nn.Linear(columns, rows, device="meta").to_empty(device=device).to(dtype)
    with torch.no_grad():
        base.weight.copy_(0.02 * torch.randn(rows, columns, generator=generator))
        base.bias.copy_(0.02 * torch.randn(rows, generator=generator))
    return base.requires_grad_(False)


def contenders(base: nn.Linear, rank: int, dropout: float, merged: bool) -> list[Contender]:
    """All layers over `base`, which they share.

    Args:
        base: the frozen layer.
        rank: r.
        dropout: p on the adapter's view of x.
        merged: whether our merged forward takes part; it needs float32 and no dropout.
    """
    options = {"rank": rank, "alpha": SCALE * rank, "dropout": dropout}
    factors = DoRALinear(base, **options, merged_forward="never")
    found = [
        Contender("LoRA, plain", PlainLoRA(base, rank, dropout)),
        Contender("LoRA, fused (ours)", LoRALinear(base, **options)),
        Contender("DoRA, materialised", ReferenceDoRA(base, rank, dropout)),
        Contender("DoRA, ours, new norm", factors, factors.refresh),
        Contender("DoRA, ours, kept norm", DoRALinear(base, **options, merged_forward="never")),
    ]
    if merged:
        held = DoRALinear(base, **options, merged_forward="always")
        found += [
            Contender("DoRA, ours merged, new", held, held.refresh),
            Contender("DoRA, ours merged, kept", DoRALinear(base, **options, merged_forward="always")),
        ]
    for contender in found:
        contender.trained = dict(contender.module.named_parameters(recurse=False))
    found += [_peft(base, rank, dropout, dora) for dora in (False, True)]
    for contender in found:
        _start(contender, base, rank)
        contender.module.train()
    return found


def _peft(base: nn.Linear, rank: int, dropout: float, dora: bool) -> Contender:
    import peft

    config = peft.LoraConfig(
        r=rank, lora_alpha=SCALE * rank, lora_dropout=dropout, use_dora=dora, target_modules=["0"]
    )
    module = peft.get_peft_model(nn.Sequential(base), config).base_model.model[0]
    trained = {"lora_a": module.lora_A.default.weight, "lora_b": module.lora_B.default.weight}
    if dora:
        trained["magnitude"] = module.lora_magnitude_vector.default.weight
    return Contender("DoRA, PEFT" if dora else "LoRA, PEFT", module, trained=trained)


@torch.no_grad()
def _start(contender: Contender, base: nn.Linear, rank: int) -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = {"lora_a": (rank, base.in_features), "lora_b": (base.out_features, rank)}
    for name, size in sizes.items():
        contender.trained[name].copy_(torch.randn(size, generator=generator) / size[-1] ** 0.5 / 4)
    if "magnitude" in contender.trained:
        norm = torch.linalg.vector_norm(base.weight, dim=1, dtype=torch.float32).cpu()
        noise = 1 + 0.1 * torch.randn(len(norm), generator=generator)
        contender.trained["magnitude"].copy_(norm * noise)


def exact(contender: Contender, base: nn.Linear, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Output and gradients of the written equation in float64, without dropout."""
    own = {n: p.detach().double().requires_grad_() for n, p in contender.trained.items()}
    wide = x.detach().double().requires_grad_()
    shifted = base.weight.double() + SCALE * own["lora_b"] @ own["lora_a"]
    if "magnitude" in own:
        shifted = (own["magnitude"] / shifted.detach().norm(dim=1))[:, None] * shifted
    y = wide @ shifted.T + base.bias.double()
    y.backward(grad.double())
    return {"y": y.detach(), "x": wide.grad, **{n: p.grad for n, p in own.items()}}


def bart(
    layers: int, rank: int, device: torch.device, dtype: torch.dtype
) -> list[tuple[str, nn.Module, list[DoRALinear]]]:
    """BART of width 768 with `layers` + `layers` blocks and random weights, q and v adapted, in four ways."""
    import peft
    import transformers

    from vl_dora.adapters import adapted_layers, apply_adapters

    config = transformers.BartConfig(
        vocab_size=5000,
        encoder_layers=layers,
        decoder_layers=layers,
        d_model=768,
        encoder_attention_heads=12,
        decoder_attention_heads=12,
        encoder_ffn_dim=3072,
        decoder_ffn_dim=3072,
        dropout=0.0,
    )
    torch.manual_seed(0)
    network = transformers.BartForConditionalGeneration(config).to(device, dtype).train()
    found: list[tuple[str, nn.Module, list[DoRALinear]]] = []
    chosen = ["q_proj", "v_proj"]
    for method in ("lora", "dora"):
        rule = {"method": method, "layers": chosen, "rank": rank, "alpha": SCALE * rank}
        twin = copy.deepcopy(network)
        apply_adapters(twin, {"network": rule})
        own = [m for m in adapted_layers(twin).values() if isinstance(m, DoRALinear)]
        found.append((f"{'LoRA, fused (ours)' if method == 'lora' else 'DoRA, ours'}", twin, own))
    for dora in (False, True):
        options = peft.LoraConfig(r=rank, lora_alpha=SCALE * rank, use_dora=dora, target_modules=chosen)
        twin = peft.get_peft_model(copy.deepcopy(network), options).train()
        found.append(("DoRA, PEFT" if dora else "LoRA, PEFT", twin, []))
    return found
