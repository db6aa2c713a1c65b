"""Names of the LLaMA-based forks, as modules of today's networks, and what their config says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vl_dora.adapters.renaming import names_in_file

PREFIX = "base_model.model."
# LLaVA's own code keeps the decoder in `model`, transformers in `model.language_model`.
_TODAY = (
    ("model.mm_projector.0", "model.multi_modal_projector.linear_1"),
    ("model.mm_projector.2", "model.multi_modal_projector.linear_2"),
    ("model.", "model.language_model."),
)


def module_here(network: nn.Module, path: str) -> str:
    """A fork's module path in this network: as it is where the network has it, else today's name."""
    known = {name: here for here, name in names_in_file(network, ()).items()}
    path = path.removeprefix(PREFIX)
    if path in known:
        return known[path]
    for then, today in _TODAY:
        if path.startswith(then) and today + path[len(then) :] in known:
            return known[today + path[len(then) :]]
    return path


def number(config: Mapping[str, Any], option: str, source: Path) -> float:
    """A number of the fork's adapter_config.json.

    Raises:
        ValueError: it is missing or no positive number; a guess would scale every update wrongly.
    """
    value = config.get(option)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(
            f"{source}: adapter_config.json must say {option} as a number above 0, it says {value!r}; "
            f"the file that the fork wrote beside its weights is needed"
        )
    return value


def rules_of(
    network: nn.Module,
    low_rank: Mapping[str, int],
    magnitudes: list[str],
    options: Mapping[str, Any],
    full: list[str],
) -> dict[str, Any]:
    """Part -> rule for these modules.

    Args:
        network: not adapted.
        low_rank: module path -> rank of the layers with A and B.
        magnitudes: module paths of magnitude-only layers.
        options: the method of these layers and its further options; `alpha` among them.
        full: module paths that trained whole.
    """
    from vl_dora.adapters.apply import normal_parts
    from vl_dora.adapters.matching import split_parts
    from vl_dora.adapters.peft_selection import exact_patterns

    selection: dict[str, Any] = {}
    for part in split_parts(network, normal_parts(network, None)).values():
        rules: dict[str, dict[str, Any]] = {}
        for rank in sorted(set(low_rank.values())):
            inside = [path for path, r in low_rank.items() if r == rank and path in part.modules]
            if inside:
                layers = exact_patterns(part, inside, nn.Linear)
                rules[f"rank_{rank}"] = {"layers": layers, "rank": rank, **options}
        for name, paths, kind in (("magnitude", magnitudes, nn.Linear), ("full", full, nn.Module)):
            inside = [path for path in paths if path in part.modules]
            if inside:
                rules[name] = {"method": name, "layers": exact_patterns(part, inside, kind)}
        if rules:
            first, *rest = rules.items()
            selection[part.name] = {**first[1], "also": dict(rest)}
    return selection
