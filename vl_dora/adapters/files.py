"""Saving and loading adapters: PEFT's directory format, and beside it what that format cannot say.

adapter_config.json, adapter_model.safetensors   what `peft.PeftModel.from_pretrained` reads
vl_dora.json                                     our own selection, and what PEFT cannot see
vl_dora_rows.safetensors                         token rows of the base that travel with the adapter
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vl_dora.adapters.apply import Adaptation, adaptation_of, adapted_layers, apply_adapters
from vl_dora.adapters.audit import AdaptationAudit
from vl_dora.adapters.contents import PREFIX, contents, low_rank
from vl_dora.adapters.fingerprint import DRIFT, distance, fingerprint
from vl_dora.adapters.layer import AdaptedLayer, check_word
from vl_dora.adapters.matching import shorten
from vl_dora.adapters.peft_config import check_readable, method_of, rank_and_alpha, scale_of, write_config
from vl_dora.adapters.peft_selection import read_selection_of
from vl_dora.adapters.peft_vera import check_matrices, remembered_by_peft, without_matrices
from vl_dora.adapters.renaming import key_in_file, names_in_file, renamed
from vl_dora.adapters.saved import CONFIG, FORMAT, RECORD, ROWS, WEIGHTS, Saved, read

# What stands between a module's name and the last word of a key.
_INSIDE = (".lora_A", ".lora_B", ".base_layer")
# In the place of PEFT's `peft_type` where a layer is of a method that its LoRA has no tensors for: PEFT then
# stops at the config, and does not load half of the directory.
OWN_TYPE = "VL_DORA"
ON_DRIFT = ("raise", "warn")


def save_adapter(
    network: nn.Module, directory: str | Path, *, also: Mapping[str, int] | Iterable[str] = ()
) -> None:
    """Writes everything that trains in an adapted network to a directory that PEFT reads.

    Nothing is replaced before all is written: an interrupted save leaves the previous one whole.
    Other files in the directory stay.

    Args:
        network: adapted, not merged. Its attribute `adapter_extras` (parameter name -> first row),
            where it has one, is honoured like `also`.
        directory: is made where missing.
        also: frozen tensors that travel too: parameter name -> first row to save (0: all), or names.

    Raises:
        ValueError: the network has no adapters, is merged, is on the meta device, or lacks a name.
    """
    adaptation = adaptation_of(network)
    layers = adapted_layers(network)
    _refuse_merged(network, "save_adapter")
    if any(tensor.is_meta for tensor in network.parameters()):
        raise ValueError("the network is on the meta device and has no values to save")
    rows = _rows(network, also)
    config = write_config(network)
    unread = [] if layers else ["everything: PEFT refuses a directory without an adapted layer"]
    unread += [f"rows {first} and up of {name}" for name, first in rows.items()]
    wrong = {path: words for path, layer in layers.items() if (words := layer.unread_by_peft())}
    for words in dict.fromkeys(wrong.values()):
        unread.append(f"{shorten(path for path in wrong if wrong[path] == words)}: {words}")
    foreign = sorted({layer.method for layer in layers.values() if _only_ours(layer)})
    if foreign and config["peft_type"] == "LORA":
        unread.append(f"everything: PEFT's LoRA has no method {' and no '.join(foreign)}")
        config["peft_type"] = OWN_TYPE
    record = {
        "format": FORMAT,
        "selection": {part: rule.to_dict() for part, rule in adaptation.selection.items()},
        "parts": {part: list(paths) for part, paths in adaptation.parts.items()},
        "methods": {path: layer.method for path, layer in layers.items()},
        "remembered": {path: layer.remembered() for path, layer in layers.items() if layer.remembered()},
        "rows": rows,
        "base": fingerprint(layers),
        "not_read_by_peft": unread,
        "audit": adaptation.audit.to_dict(),
    }
    Saved(
        config=config,
        tensors={key_in_file(network, key, PREFIX): e.to_write() for key, e in contents(network).items()},
        record=record,
        rows={name: _slice(network, name, first).cpu().clone() for name, first in rows.items()},
    ).write(Path(directory))


def load_adapter(network: nn.Module, directory: str | Path, *, on_drift: str = "raise") -> AdaptationAudit:
    """Puts a saved adapter on a fresh network, or its values into one that carries the same adapters.

    Reads what `save_adapter` wrote, and LoRA and DoRA directories written by PEFT. Every key is
    audited both ways; when anything does not fit, the network is left as it was.

    Args:
        network: the base the adapter was made for.
        directory: as above.
        on_drift: "raise" or "warn" where `save_adapter` saw other weights of the base than the network has;
            PEFT's own directories do not tell theirs.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a damaged file, an option or key that this network has no place for, or one
            that it needs and that is missing, another base, or another word for `on_drift`.
    """
    directory = Path(directory)
    return put_adapter(network, directory, read(directory), on_drift=on_drift)


def put_adapter(
    network: nn.Module, directory: Path, saved: Saved, *, on_drift: str = "raise"
) -> AdaptationAudit:
    """`load_adapter` of files that were read already; `directory` serves the messages.

    Raises:
        ValueError: as `load_adapter`.
    """
    check_word("on_drift", on_drift, ON_DRIFT)
    own = saved.record is not None and saved.config.get("peft_type") == OWN_TYPE
    check_readable({**saved.config, "peft_type": "LORA"} if own else saved.config, str(directory / CONFIG))
    tensors, matrices = without_matrices(saved.tensors)
    names = names_in_file(network, _owners(tensors))
    saved = replace(saved, tensors=renamed(tensors, names, PREFIX))
    if isinstance(getattr(network, "adaptation", None), Adaptation):
        _refuse_merged(network, "load_adapter")
        check_matrices(network, matrices, str(directory / WEIGHTS))
        _check_base(network, directory, saved, on_drift)
        _fill(network, directory, saved, names)
        return adaptation_of(network).audit
    trained = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    try:
        if saved.record is None:
            selection = read_selection_of(network, saved.config, saved.tensors, names, str(directory))
            apply_adapters(network, selection)
        else:
            apply_adapters(network, saved.record["selection"], parts=saved.record["parts"], start=False)
    except ValueError as error:
        message = f"{directory} is an adapter of another network than this {type(network).__name__}: {error}"
        raise ValueError(message) from error
    try:
        check_matrices(network, matrices, str(directory / WEIGHTS))
        _check_base(network, directory, saved, on_drift)
        _fill(network, directory, saved, names)
    except BaseException:
        remove_adapters(network, trained)
        raise
    return adaptation_of(network).audit


@torch.no_grad()
def _fill(network: nn.Module, directory: Path, saved: Saved, names: Mapping[str, str]) -> None:
    """Copies every tensor into its place, after all of them were found to fit."""
    entries = contents(network)
    missing = [key for key in entries if key not in saved.tensors]
    left = [key for key in saved.tensors if key not in entries]
    if missing or left:
        raise ValueError(
            f"{directory / WEIGHTS} does not fit this {type(network).__name__}: "
            f"missing {shorten(missing)}; left over {shorten(left)}"
        )
    for key, entry in entries.items():
        found = tuple(saved.tensors[key].shape)
        if found != entry.shape:
            raise ValueError(
                f"{directory / WEIGHTS}: {key} has shape {found}, this network needs {entry.shape}"
            )
        if entry.check is not None:
            entry.check(saved.tensors[key])
    _check_layers(network, directory, saved, names)
    named = (saved.record or {}).get("rows") or {}
    slots = {name: _slice(network, name, first) for name, first in named.items()}
    if set(slots) != set(saved.rows):
        raise ValueError(f"{directory / ROWS} holds {shorten(saved.rows)}, {RECORD} names {shorten(slots)}")
    for name, slot in slots.items():
        if slot.shape != saved.rows[name].shape:
            raise ValueError(
                f"{directory / ROWS}: {name} has rows of shape {tuple(saved.rows[name].shape)}, this network "
                f"{tuple(slot.shape)}; give it the same added tokens first"
            )
    for key, entry in entries.items():
        if entry.assign is not None:
            entry.assign(saved.tensors[key])
    for name, slot in slots.items():
        slot.copy_(saved.rows[name])


def _check_base(network: nn.Module, directory: Path, saved: Saved, on_drift: str) -> None:
    worst, share = distance(adapted_layers(network), (saved.record or {}).get("base") or {})
    if share <= DRIFT:
        return
    message = (
        f"{directory} was trained on another base: {worst} differs by {100 * share:.3g} % of its norm; "
        f"load that base first"
    )
    if on_drift == "raise":
        raise ValueError(f'{message}, or load it with on_drift="warn" to put it on this one')
    warnings.warn(message, UserWarning, stacklevel=4)


def _check_layers(network: nn.Module, directory: Path, saved: Saved, names: Mapping[str, str]) -> None:
    methods = (saved.record or {}).get("methods") or {}
    remembered = (saved.record or {}).get("remembered") or {}
    for path, layer in adapted_layers(network).items():
        told = methods.get(path, method_of(saved.config))
        if told != layer.method:
            raise ValueError(f"{directory}: {path} is {told} there and {layer.method} in this network")
        known = remembered.get(path, {}) if saved.record else remembered_by_peft(layer, saved.config)
        if known != layer.remembered():
            raise ValueError(
                f"{directory}: {path} has {known} there and {layer.remembered()} in this network"
            )
        rank = low_rank(layer)
        if rank is None:
            continue
        there = rank_and_alpha(saved.config, names.get(path, path))
        scale = scale_of(saved.config, *there)
        if there[0] != rank or not math.isclose(scale, layer.scale, rel_tol=1e-9):
            raise ValueError(
                f"{directory}: {path} has rank {there[0]} and scale {scale:g} there, "
                f"rank {rank} and scale {layer.scale:g} in this network"
            )


def _owners(keys: Iterable[str]) -> set[str]:
    """Names of the modules that the keys of a file speak of."""
    paths = set()
    for key in keys:
        path = key.removeprefix(PREFIX).rpartition(".")[0]
        for ending in _INSIDE:
            path = path.removesuffix(ending)
        paths.add(path)
    return paths


def _only_ours(layer: AdaptedLayer) -> bool:
    return not all(ending.startswith(".lora_") for ending in layer.file_entries())


def _refuse_merged(network: nn.Module, action: str) -> None:
    if any(layer.merged for layer in adapted_layers(network).values()):
        raise ValueError(f"the network is merged; call unmerge(network) before {action}")


def _rows(network: nn.Module, also: Mapping[str, int] | Iterable[str]) -> dict[str, int]:
    asked = dict(getattr(network, "adapter_extras", None) or {})
    asked.update(also if isinstance(also, Mapping) else dict.fromkeys(also, 0))
    trained = {name for row in adaptation_of(network).audit.rows for name in row.names}
    for name, first in asked.items():
        size = len(_slice(network, name, 0))
        if not 0 <= first < size:
            raise ValueError(
                f"{name} has rows 0..{size - 1}; there is no row {first} to save with the adapter"
            )
    return {name: int(first) for name, first in asked.items() if name not in trained}


def _slice(network: nn.Module, name: str, first: int) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    try:
        tensor = getattr(network.get_submodule(owner), leaf)
    except AttributeError:
        tensor = None
    if not isinstance(tensor, Tensor):
        raise ValueError(f"this {type(network).__name__} has no tensor {name!r} to travel with the adapter")
    return tensor.detach()[first:]


def remove_adapters(network: nn.Module, trained: Mapping[str, bool]) -> None:
    """Takes the adapters off again, as if they had never been there.

    Args:
        network: adapted, not merged.
        trained: parameter -> whether it required a gradient before.
    """
    for path, layer in adapted_layers(network).items():
        owner, _, leaf = path.rpartition(".")
        setattr(network.get_submodule(owner), leaf, layer.base)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trained[name])
    del network.adaptation
