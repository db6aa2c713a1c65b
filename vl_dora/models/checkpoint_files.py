"""The tensors of a checkpoint folder, whole or in shards, in safetensors or in pickles.

| file | its shards are named in |
|---|---|
| `model.safetensors` | `model.safetensors.index.json` |
| `pytorch_model.bin` | `pytorch_model.bin.index.json` |

Tensors are mapped from disk, so that those of a folder take no memory until they are copied. Pickles are read
for tensors alone, never run.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

WHOLE = ("model.safetensors", "pytorch_model.bin")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU.

    Raises:
        FileNotFoundError: no file of these names, or a shard that is missing.
        ValueError: a damaged file, a pickle of more than tensors, or an index that its shards contradict.
    """
    for name in WHOLE:
        if (folder / name).is_file():
            return _read(folder / name)
        if (folder / f"{name}.index.json").is_file():
            return _read_shards(folder, folder / f"{name}.index.json")
    raise FileNotFoundError(f"{folder} holds no weights: neither {' nor '.join(WHOLE)}, whole or in shards")


def _read_shards(folder: Path, index: Path) -> dict[str, Tensor]:
    try:
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(shard_of.values()))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"{index} is no index of shards: it must be JSON with an object weight_map"
        ) from None
    strange = [name for name in names if Path(name).name != name]
    if strange:
        raise ValueError(f"{index} names the shard {strange[0]!r}, which is not a file of its own folder")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of {len(names)} shards, {missing[0]} among them"
        )
    found: dict[str, Tensor] = {}
    for name in names:
        tensors = _read(folder / name)
        told = {key for key, shard in shard_of.items() if shard == name}
        if told != set(tensors):
            differing = sorted(told ^ set(tensors))
            raise ValueError(
                f"{folder / name} and {index.name} disagree about {len(differing)} tensors, "
                f"{differing[0]} among them"
            )
        found |= tensors
    return found


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        try:
            return dict(load_file(file))
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file} is damaged: {error}") from None
    found = read_pickle(file)
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{file} holds no mapping of names to tensors")
    return found


def read_pickle(file: Path) -> object:
    """What a file of torch.save holds, as long as that is tensors in plain containers.

    Raises:
        ValueError: damaged, or a pickle of anything else, which is never run.
    """
    try:
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # the format before torch 1.6 cannot be mapped
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged and forbidden pickles raise all sorts of errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{file} is damaged or holds more than tensors, which is not read: {reason}"
        ) from None
