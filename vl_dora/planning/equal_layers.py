"""A step of many equal layers, from steps of two short stacks of them.

With n equal layers every moment of a step takes a + b n bytes: near the first layers, near the last ones,
before and after them all. In between memory grows or falls evenly from layer to layer, so that the highest
moment is at an end. Operations are a + b n as well. Steps of `SHORT` and `SHORT` + 1 layers, run in full,
give a and b. The outcome equals the step of all layers to the byte (`tests/planning/test_equal_layers.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from vl_dora.planning.layer_places import EDGE, INSIDE
from vl_dora.planning.step_cost import Trace

SHORT = 2 * EDGE  # layers of the shorter stack: all of them are places of their own
WORTH = 2 * SHORT + 2  # layers from which two short stacks run sooner than the whole


@dataclass(frozen=True)
class Stack:
    """Equal layers that run one after the other.

    Args:
        path: of the nn.ModuleList in the network.
        count: n.
    """

    path: str
    count: int

    def layers(self, network: nn.Module) -> list[nn.Module]:
        """Those that the network has now."""
        return list(network.get_submodule(self.path).children())

    def cut(self, network: nn.Module, count: int) -> None:
        """Leaves the network the first `count` layers."""
        layers = self.layers(network)[:count]
        network.set_submodule(self.path, nn.ModuleList(layers))


def stack_of(network: nn.Module) -> Stack | None:
    """The largest stack of at least `WORTH` equal layers; None: there is none.

    Layers are equal where their modules, options, shapes, dtypes and what trains are.
    """
    found = [
        (sum(p.numel() for p in module.parameters()), Stack(path, len(module)))
        for path, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) >= WORTH and _all_equal(module)
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _all_equal(layers: nn.ModuleList) -> bool:
    first = _described(layers[0])
    return all(_described(layer) == first for layer in layers)


def _described(layer: nn.Module) -> tuple:
    tensors = [*layer.named_parameters(), *layer.named_buffers()]
    modules = [
        (name, type(module), module.training, module.extra_repr()) for name, module in layer.named_modules()
    ]
    return tuple(modules), tuple((name, *_described_tensor(tensor)) for name, tensor in tensors)


def _described_tensor(tensor: Tensor) -> tuple:
    return tuple(tensor.shape), tensor.dtype, tensor.requires_grad


def lengthened(short: Trace, longer: Trace, more: int) -> Trace:
    """The trace with `more` layers than `longer`, which has one more than `short`."""
    places = [place for place in longer.moments if not place.endswith(f" {INSIDE}")]
    assert set(places) == set(short.moments), (sorted(places), sorted(short.moments))
    moments = {place: _along(short.moments[place], longer.moments[place], more) for place in places}
    return Trace(_along(short.totals, longer.totals, more), moments)


def _along(short: Mapping[str, int], longer: Mapping[str, int], more: int) -> dict[str, int]:
    kinds = dict.fromkeys((*longer, *short))
    return {k: longer.get(k, 0) + more * (longer.get(k, 0) - short.get(k, 0)) for k in kinds}
