"""What lies in a foreign file or directory: tensors by name, and the config beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

CONFIG = "adapter_config.json"
# The files of a directory that are read, and no others; a file named inside of one of them is never opened.
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin", "LAST.pth")
BESIDE = "non_lora_trainables.bin"


@dataclass(frozen=True)
class Stored:
    """A foreign adapter as it was found.

    Args:
        source: the path that was given, for messages.
        tensors: of the adapter file, without DDP's `module.` in front.
        beside: of `non_lora_trainables.bin`, which the LLaVA fork writes; empty where there is none.
        config: of `adapter_config.json`; empty where there is none.
    """

    source: Path
    tensors: Mapping[str, Tensor]
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def read_stored(path: Path) -> Stored:
    """Reads a tensor file, or the files of a directory that an adapter can be in.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a file that is damaged, or holds more than tensors.
    """
    if path.is_dir():
        found = [path / name for name in ADAPTER_FILES if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(f"{path} holds none of {', '.join(ADAPTER_FILES)}; name the file itself")
        beside = path / BESIDE
        return Stored(
            path,
            read_tensors(found[0]),
            read_tensors(beside) if beside.is_file() else {},
            _read_config(path / CONFIG),
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give an adapter file or directory")
    return Stored(path, read_tensors(path), config=_read_config(path.parent / CONFIG))


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Name -> tensor of a safetensors file, or of a pickle that holds only tensors, on the CPU.

    Raises:
        ValueError: damaged, or a pickle of anything else, which is never run.
    """
    if file.suffix == ".safetensors":
        try:
            return dict(load_file(file))
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file} is damaged: {error}") from None
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged and forbidden pickles raise all sorts of errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{file} is damaged or holds more than tensors, which is not read: {reason}"
        ) from None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise ValueError(
            f"{file} holds no mapping of names to tensors, as an adapter or a network's state is"
        )
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def _read_config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{file} holds a {type(config).__name__}; it must be a JSON object")
    return config
