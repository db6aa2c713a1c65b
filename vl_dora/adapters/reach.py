"""Adapters only where a gradient can reach.

A network may say of some modules that nothing of what it computes comes from them (`unreachable`: module path
-> why). Whatever trains there would stand still for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vl_dora.adapters.choice import Choice


def refuse_unreachable(network: nn.Module, choices: Sequence[Choice]) -> None:
    """Stops where a choice trains something that no gradient reaches.

    Raises:
        ValueError: with the config key, the first such module and the network's reason.
    """
    reasons: dict[str, str] = getattr(network, "unreachable", {})
    if not reasons:
        return
    names = {id(p): name for name, p in network.named_parameters()}
    for choice in choices:
        trained = [*choice.modules, *(names[id(p)] for p in choice.parameters)]
        for root, reason in reasons.items():
            hit = next((path for path in trained if path == root or path.startswith(root + ".")), None)
            if hit is not None:
                raise ValueError(
                    f"{choice.where}: no gradient reaches {hit}: {reason}; leave such modules out of "
                    f"{choice.where}.layers, by a regex such as "
                    r"'.*layers\.(?!N\.)\d+\..*q_proj' with N the number of the layer to leave out"
                )
