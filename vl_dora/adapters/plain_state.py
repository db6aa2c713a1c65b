"""The state of the plain network that computes what an adapted one computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vl_dora.adapters.apply import adaptation_of, adapted_layers
from vl_dora.adapters.quantization import quantization_of


@torch.no_grad()
def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Name in the network before it was adapted -> value, every adapter folded into its weight.

    Folded in float32 (float64 for a float64 base), whatever dtype the base has; the network stays as it is.

    Raises:
        ValueError: the network was not adapted, or is merged.
    """
    adaptation_of(network)
    state = network.state_dict()
    for path, layer in adapted_layers(network).items():
        if layer.merged:
            raise ValueError("the network is merged; call unmerge(network) before its plain state is taken")
        inside = [name for name in state if name.startswith(f"{path}.")]
        values = {name: state.pop(name) for name in inside}
        start = f"{path}.base."
        own = {n[len(start) :]: v for n, v in values.items() if n.startswith(start)}
        if quantization_of(layer.base) is not None:  # its weight comes in several tensors
            own = {name: value for name, value in own.items() if name == "bias"}
        state.update({f"{path}.{name}": value for name, value in own.items()})
        state[f"{path}.weight"] = layer.merged_weight()
    return dict(state)
