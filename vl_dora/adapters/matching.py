"""Which modules of a network lie in which part, and which of them a pattern means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

SHOWN = 30

Fits = Callable[[nn.Module], bool]


@dataclass(frozen=True)
class Part:
    """One part of a network.

    Args:
        name: vision, projector, language, or what the network calls it.
        modules: path in the network -> module, in the network's order.
        inside: path in the network -> path inside the part, on which patterns are matched.
        parameters: name in the network -> parameter, tied ones once.
    """

    name: str
    modules: Mapping[str, nn.Module]
    inside: Mapping[str, str]
    parameters: Mapping[str, nn.Parameter]


def split_parts(network: nn.Module, parts: Mapping[str, Sequence[str]] | None) -> dict[str, Part]:
    """The parts of a network, which together hold every parameter exactly once.

    Args:
        network: any module.
        parts: part -> module paths; None: the network's own `parts`, or one part `network`.

    Raises:
        ValueError: a path that the network lacks, parts that overlap, or a parameter in no part.
    """
    if parts is None:
        parts = getattr(network, "parts", None) or {"network": ("",)}
    found = {name: _find_part(network, name, paths) for name, paths in parts.items()}
    owner: dict[int, str] = {}
    for part in found.values():
        for name, parameter in part.parameters.items():
            if id(parameter) in owner:
                raise ValueError(
                    f"parameter {name} lies in the parts {owner[id(parameter)]} and {part.name}; "
                    f"the network's parts must not overlap"
                )
            owner[id(parameter)] = part.name
    homeless = [name for name, parameter in network.named_parameters() if id(parameter) not in owner]
    if homeless:
        raise ValueError(f"no part holds {shorten(homeless)}; parts: {dict(parts)!r}")
    return found


def _find_part(network: nn.Module, name: str, paths: Sequence[str]) -> Part:
    modules: dict[str, nn.Module] = {}
    inside: dict[str, str] = {}
    parameters: dict[str, nn.Parameter] = {}
    known = dict(network.named_modules(remove_duplicate=False))
    for root in [paths] if isinstance(paths, str) else paths:
        if root not in known:
            raise ValueError(
                f"part {name} names the module {root!r}, which the network lacks; "
                f"it has: {shorten(p for p in known if p and '.' not in p)}"
            )
        for path, module in known[root].named_modules(prefix=root):
            modules[path] = module
            local = path[len(root) :].lstrip(".") if root else path
            inside[path] = local or root.rpartition(".")[2]
        held = {id(parameter) for parameter in parameters.values()}
        for path, parameter in known[root].named_parameters(prefix=root):
            if id(parameter) not in held:
                parameters[path] = parameter
    return Part(name, modules, inside, parameters)


def match(pattern: str, path: str) -> bool:
    """Whether a pattern means a module path: a suffix on a dot boundary, or a regex of it all."""
    if path == pattern or path.endswith("." + pattern):
        return True
    try:
        return re.fullmatch(pattern, path) is not None
    except re.error:
        return False


def matches(part: Part, patterns: Sequence[str], fits: Fits) -> dict[str, list[str]]:
    """Pattern -> paths (in the network) of the part's modules that fit and that it means."""
    return {
        pattern: [
            path
            for path, module in part.modules.items()
            if path and fits(module) and match(pattern, part.inside[path])
        ]
        for pattern in patterns
    }


def complain(where: str, pattern: str, part: Part, others: Iterable[Part], fits: Fits, kinds: str) -> None:
    """Says why a pattern means nothing in a part, and what is there.

    Args:
        where: the config key.
        pattern: what matches nothing.
        part: where it was looked for.
        others: all parts.
        fits: which modules it could have meant.
        kinds: what those are, in words.

    Raises:
        ValueError: always.
    """
    leaves = shorten(
        sorted(
            {
                local.rpartition(".")[2]
                for path, local in part.inside.items()
                if path and fits(part.modules[path])
            }
        )
    )
    for path, module in part.modules.items():
        if path and match(pattern, part.inside[path]):
            raise ValueError(
                f"{where}={pattern!r} matches {path}, a {kind_name(module)}, and no {kinds} "
                f"in {part.name}; available: {leaves}"
            )
    leak = ""
    for other in others:
        hit = [path for path in other.modules if path and (match(pattern, path))]
        hit += matches(other, [pattern], lambda module: True)[pattern]
        if hit and other.name != part.name:
            leak = f" (it reaches into the part {other.name}: {hit[0]})"
            break
    raise ValueError(f"{where}={pattern!r} matches no {kinds} in {part.name}{leak}; available: {leaves}")


def kind_name(module: nn.Module) -> str:
    """The class of a module, and where it is from unless that is torch: transformers has a Conv1D too."""
    kind = type(module)
    own = kind.__module__.partition(".")[0] == "torch"
    return f"nn.{kind.__name__}" if own else f"{kind.__module__}.{kind.__name__}"


def shorten(names: Iterable[str]) -> str:
    """A list of names, capped."""
    names = list(names)
    more = f", ... ({len(names) - SHOWN} more)" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "nothing"
