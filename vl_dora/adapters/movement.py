"""Proof after the first steps: what should train has moved, what should not has not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vl_dora.adapters.apply import adaptation_of, adapted_layers
from vl_dora.adapters.matching import shorten
from vl_dora.adapters.quantization import dequantized, quantization_of

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class MovementCheck:
    """Remembers an adapted network's tensors, and later says which moved and which did not.

    Adapter tensors are copied; of all others one exact checksum of the bits is kept. Make it
    before the first optimizer step and call `check` after at least two: A has no gradient
    while B is still zero.

    Args:
        network: adapted, not merged.

    Raises:
        ValueError: the network has no adapters.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.rows = [row for row in adaptation_of(network).audit.rows if row.names]
        self.adapters = {name: tensor.detach().clone() for name, tensor in self._adapter_tensors().items()}
        trained = {name for row in self.rows for name in row.names}
        self.quantized = {f"{path}.weight": m for path, m in network.named_modules() if quantization_of(m)}
        self.others = {n: self._sum(n, p) for n, p in network.named_parameters() if n not in self.adapters}
        self.frozen = {name: value for name, value in self.others.items() if name not in trained}
        self.frozen.update({name: checksum(buffer) for name, buffer in self._frozen_buffers().items()})

    def check(self) -> None:
        """Stops the run when an adapter stood still or something frozen changed.

        Of biases, norms and fully trained modules each rule must have moved as a whole: single
        tensors of them may have no gradient (a key projection's bias never has).

        Raises:
            ValueError: naming the tensors.
        """
        still = list(self._still())
        parameters = dict(self.network.named_parameters())
        now = {**parameters, **self._frozen_buffers()}
        changed = [name for name, before in self.frozen.items() if self._sum(name, now[name]) != before]
        findings = []
        if still:
            findings.append(
                f"adapter tensors that did not move: {shorten(still)}; they get no gradient, or their "
                f"learning rate is 0"
            )
        if changed:
            findings.append(f"frozen tensors that changed: {shorten(changed)}")
        if findings:
            raise ValueError("; ".join(findings))

    def is_early(self) -> bool:
        """Whether something stands still that the last step had no gradient for, and nothing else does.

        Batches of one kind may leave a part of the network out (text alone never reaches the projector), so
        that later steps have to show.
        """
        still = [parameter for parameters in self._still().values() for parameter in parameters]
        return bool(still) and not any(p.grad is not None and p.grad.any() for p in still)

    def _still(self) -> dict[str, list[nn.Parameter]]:
        """What stood still, by the words that name it."""
        parameters = dict(self.network.named_parameters())
        still = {
            name: [parameters[name]]
            for name, before in self.adapters.items()
            if torch.equal(before.to(parameters[name]), parameters[name])
        }
        for row in self.rows:
            names = [name for name in row.names if name in self.others]
            if names and all(checksum(parameters[name]) == self.others[name] for name in names):
                still[f"everything of {row.rule} ({row.method})"] = [parameters[name] for name in names]
        return still

    def _sum(self, name: str, tensor: Tensor) -> int:
        """The checksum of a tensor; of quantized weights with their scales, which no parameter holds."""
        return checksum(dequantized(self.quantized[name]) if name in self.quantized else tensor)

    def _adapter_tensors(self) -> dict[str, nn.Parameter]:
        own = {
            id(p) for layer in adapted_layers(self.network).values() for p in layer.parameters(recurse=False)
        }
        return {name: p for name, p in self.network.named_parameters() if id(p) in own}

    def _frozen_buffers(self) -> dict[str, Tensor]:
        trained = {name.rpartition(".")[0] for row in self.rows if row.method == "full" for name in row.names}
        kept = {
            f"{path}.{name}"
            for path, layer in adapted_layers(self.network).items()
            for name in layer._buffers
        }
        return {
            name: buffer
            for name, buffer in self.network.named_buffers()
            if name not in kept and name.rpartition(".")[0] not in trained
        }


def checksum(tensor: Tensor) -> int:
    """The sum of a tensor's bit patterns as integers, modulo 2^64: exact, and made without a copy."""
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return int(tensor.contiguous().view(_WORDS[tensor.element_size()]).sum(dtype=torch.int64))
