"""What an adapter directory holds of a network: every tensor that trains, under PEFT's key for it.

Keys are `base_model.model.` + module path + `.lora_A.weight` (r, i) | `.lora_B.weight` (o, r) |
`.lora_magnitude_vector` (o,); trained tensors of the base go under their plain names, which PEFT reads
into the base by the same route (biases of adapted layers as `.base_layer.bias`). Files themselves name
modules as `renaming.name_in_file` does.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vl_dora.adapters.apply import adaptation_of, adapted_layers
from vl_dora.adapters.entry import Entry
from vl_dora.adapters.layer import AdaptedLayer
from vl_dora.adapters.renaming import names_in_file

PREFIX = "base_model.model."
LOW_RANK_A, LOW_RANK_B, MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
# The endings of A, whose first extent is r; tables of embeddings have one of their own.
LOW_RANK = (LOW_RANK_A, ".lora_embedding_A")


def contents(network: nn.Module) -> dict[str, Entry]:
    """Key -> entry of everything that trains in an adapted network, in the network's order.

    Raises:
        ValueError: the network has no adapters.
    """
    layers = adapted_layers(network)
    entries: dict[str, Entry] = {}
    for path, own_entries in layer_entries(layers).items():
        entries.update({PREFIX + path + ending: entry for ending, entry in own_entries.items()})
    own = {id(p) for layer in layers.values() for p in layer.parameters(recurse=False)}
    parameters = dict(network.named_parameters())
    for row in adaptation_of(network).audit.rows:
        for name in row.names:
            if id(parameters[name]) not in own:
                entries[plain_key(name, layers)] = Entry.of(parameters[name])
    for path in whole_modules(network):
        for name, tensor in _held(network.get_submodule(path)).items():
            entries[f"{PREFIX}{path}.{name}"] = Entry.of(tensor)
    return entries


def _held(module: nn.Module) -> dict[str, Tensor]:
    """What a module's state dict holds, taken without its hooks: FSDP's would release gathered weights."""
    found: dict[str, Tensor] = {}
    for path, inner in module.named_modules(remove_duplicate=False):
        inner._save_to_state_dict(found, f"{path}." if path else "", True)
    return found


def low_rank(layer: AdaptedLayer) -> int | None:
    """r of a layer's factors in the file (some starts are written with twice the layer's own); None: none."""
    entries = layer.file_entries()
    factors = [entries[ending] for ending in LOW_RANK if ending in entries]
    return factors[0].shape[0] if factors else None


def plain_key(name: str, layers: Mapping[str, AdaptedLayer]) -> str:
    """PEFT's key of a base parameter, from its name in the adapted network."""
    owner, _, leaf = name.rpartition(".")
    path, _, inner = owner.rpartition(".")
    return f"{PREFIX}{path}.base_layer.{leaf}" if inner == "base" and path in layers else PREFIX + name


def whole_modules(network: nn.Module) -> list[str]:
    """Paths of the largest modules that a `full` rule trains whole: PEFT's `modules_to_save`.

    Left out, and written tensor by tensor instead: modules whose weights are tied to others (PEFT
    would tear the tie), containers that PEFT cannot wrap, and paths that PEFT would take for several.
    """
    rows = adaptation_of(network).audit.rows
    full = {name for row in rows if row.method == "full" for name in row.names}
    if not full:
        return []
    parameters = dict(network.named_parameters(remove_duplicate=False))
    trained = {id(parameters[name]) for name in full}
    places: dict[int, list[str]] = {}
    for name, parameter in parameters.items():
        places.setdefault(id(parameter), []).append(name)
    adapted = adapted_layers(network)
    files = names_in_file(network, ())
    chosen: list[str] = []
    for path, module in network.named_modules():
        own = [id(parameter) for parameter in module.parameters()]
        fits = (
            files[path]
            and own
            and not isinstance(module, nn.ModuleList | nn.ModuleDict)
            and all(key in trained for key in own)
            and all(name.startswith(path + ".") for key in own for name in places[key])
            and [p for p, name in files.items() if name.endswith(files[path])] == [path]
            and not any(f".{path}." in f".{p}" for p in adapted)
        )
        if fits and not any(path.startswith(parent + ".") for parent in chosen):
            chosen.append(path)
    return chosen


def layer_entries(layers: Mapping[str, AdaptedLayer]) -> dict[str, dict[str, Entry]]:
    """Path -> ending -> entry of every adapted layer, with the fillers that one config for all needs.

    PEFT has one method per directory: with DoRA among them, a magnitude-only layer is written as DoRA
    whose B is zero, a LoRA layer as DoRA whose magnitude is the norm, so that c = 1.
    """
    found = {path: layer.file_entries() for path, layer in layers.items()}
    rescaled = any(MAGNITUDE in entries for entries in found.values())
    for path, entries in found.items():
        layer = layers[path]
        factors = any(ending in entries for ending in LOW_RANK)
        if MAGNITUDE in entries and not factors:
            found[path] = {**layer.zero_factors(), **entries}
        elif rescaled and factors and MAGNITUDE not in entries:
            entries[MAGNITUDE] = layer.unit_magnitude()
    return found
