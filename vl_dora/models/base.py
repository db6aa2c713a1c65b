"""Where a network's starting weights and its tokenizer come from.

A base is one of
* the name of a base shipped inside the package (`vl_dora/bases/<name>`),
* a directory written by `save_base` (`network.json`, `model.safetensors`, tokenizer files),
* a directory or hub id of a transformers BART (`facebook/bart-base`): its weights fill the
  language part, the visual embedding and the 200 added token rows stay as they were drawn.

A hub is contacted only for a hub id; everything else is read from disk.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

logger = logging.getLogger(__name__)

NETWORK_FILE, WEIGHTS_FILE = "network.json", "model.safetensors"


def shipped_bases() -> dict[str, Path]:
    """Name -> directory of the bases inside the package."""
    root = Path(str(resources.files("vl_dora").joinpath("bases")))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{NETWORK_FILE}"))}


def load_base(network: nn.Module, base: str) -> None:
    """Fills `network` with the weights of `base`, every key accounted for.

    Args:
        network: a network with a language part `bart`; weights of a tower it lacks are left out.
        base: a shipped name, a directory or a hub id.

    Raises:
        ValueError: no such base, or its keys or shapes are not the network's.
    """
    directory = find_directory(base)
    if directory is not None and (directory / NETWORK_FILE).is_file():
        load_own(network, directory)
    else:
        _load_bart(network, base if directory is None else str(directory))


def load_tokenizer(base: str) -> Any:
    """The tokenizer of a base; a BART hub id or directory gets the 200 VL-BART tokens added.

    Raises:
        ValueError: no such base.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    directory = find_directory(base)
    if directory is not None and (directory / NETWORK_FILE).is_file():
        return PreTrainedTokenizerFast.from_pretrained(directory)
    tokenizer = from_hub(AutoTokenizer, base if directory is None else str(directory))
    tokenizer.add_tokens(added_tokens(), special_tokens=True)
    return tokenizer


def added_tokens() -> list[str]:
    """The 200 tokens of VL-T5 in their order; <vis_extra_id_0> is the last row."""
    return [f"<{kind}_{n}>" for kind in ("extra_id", "vis_extra_id") for n in range(99, -1, -1)]


def save_base(network: nn.Module, tokenizer: Any, directory: Path, facts: Mapping[str, Any]) -> None:
    """Writes a base that `load_base` and `load_tokenizer` read; replaces it as a whole.

    Args:
        network: the network whose weights are written, tied ones once.
        tokenizer: saved beside them.
        directory: replaced if there.
        facts: what `network.json` tells (architecture, training, scores).
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as folder:
        new = Path(folder) / "new"
        new.mkdir()
        tokenizer.save_pretrained(new)
        save_file({k: v.contiguous() for k, v in weights_of(network).items()}, new / WEIGHTS_FILE)
        (new / NETWORK_FILE).write_text(json.dumps(dict(facts), indent=2) + "\n")
        # safetensors makes files that only their owner can read.
        shutil.copymode(new / NETWORK_FILE, new / WEIGHTS_FILE)
        if directory.exists():
            shutil.move(directory, Path(folder) / "old")
        os.replace(new, directory)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each tensor once."""
    seen: dict[int, str] = {}
    state = network.state_dict(keep_vars=True)
    return {name: t.detach() for name, t in state.items() if seen.setdefault(id(t), name) == name}


def load_own(network: nn.Module, directory: Path) -> None:
    """Fills a network from a directory written by `save_base`.

    Raises:
        ValueError: its keys or shapes are not the network's.
    """
    stored = load_file(directory / WEIGHTS_FILE)
    wanted = weights_of(network)
    if not any(name.startswith("vision.") for name in wanted):
        stored = {k: v for k, v in stored.items() if not k.startswith("vision.")}
    audit_keys(stored, wanted, f"base {directory.name}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(stored[name])


def _load_bart(network: nn.Module, source: str) -> None:
    from transformers import BartForConditionalGeneration

    loaded = weights_of(from_hub(BartForConditionalGeneration, source))
    wanted = {k.removeprefix("bart."): v for k, v in weights_of(network).items() if k.startswith("bart.")}
    # The token table (and the logit bias) of the network is longer by the added rows.
    rows = {k: v.shape[0 if k.endswith("weight") else 1] for k, v in loaded.items() if k in _VOCABULARY}
    fitted = {k: _first_rows(v, rows[k], k) if k in rows else v for k, v in wanted.items()}
    audit_keys(loaded, fitted, f"BART {source}")
    with torch.no_grad():
        for name, tensor in fitted.items():
            tensor.copy_(loaded[name])
    logger.info("Language part from %s; visual embedding and %d added token rows start random.", source, 200)


_VOCABULARY = ("model.shared.weight", "final_logits_bias")


def _first_rows(tensor: Tensor, rows: int, name: str) -> Tensor:
    return tensor[:rows] if name.endswith("weight") else tensor[:, :rows]


def audit_keys(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str) -> None:
    """Compares names and shapes of what is stored with what a network wants; ValueError where they differ."""
    missing, left_over = sorted(set(wanted) - set(stored)), sorted(set(stored) - set(wanted))
    shapes = [
        f"{k}: {tuple(stored[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in sorted(set(stored) & set(wanted))
        if stored[k].shape != wanted[k].shape
    ]
    if missing or left_over or shapes:
        raise ValueError(
            f"{source} does not fit model.network: {len(missing)} weights missing {missing[:3]}, "
            f"{len(left_over)} left over {left_over[:3]}, {len(shapes)} of another shape {shapes[:3]}"
        )


def find_directory(base: str) -> Path | None:
    """The directory that `base` names, or None when it can only be a hub id."""
    shipped = shipped_bases()
    if base in shipped:
        return shipped[base]
    path = Path(base).expanduser()
    if path.is_dir():
        return path
    looks_local = path.is_absolute() or base.startswith((".", "~")) or base.count("/") != 1
    if looks_local:
        raise ValueError(
            f"model.base={base} is neither a shipped base ({', '.join(shipped) or 'none'}) nor a directory; "
            "give one of these, a local directory or a hub id such as facebook/bart-base"
        )
    return None


# Computed from the config, not learned; older versions of transformers saved them.
COMPUTED = (".rotary_emb.inv_freq", ".embeddings.position_ids")


def whole_from_hub(kind: Any, source: str, beside: tuple[str, ...] = ()) -> Any:
    """A transformers model of a directory or hub id, in its own dtype, of which every weight is stored.

    transformers itself draws weights that are missing at random and leaves out those that are left over.

    Args:
        kind: a class with `from_pretrained`.
        source: a directory or hub id.
        beside: how names of weights begin that a checkpoint may hold for other parts.

    Raises:
        ValueError: as `from_hub`; weights that are missing or left over.
    """
    model, loading = from_hub(kind, source, dtype="auto", output_loading_info=True)
    missing = sorted(loading["missing_keys"])
    left_over = sorted(
        name
        for name in loading["unexpected_keys"]
        if not name.endswith(COMPUTED) and not name.startswith(beside)
    )
    if missing or left_over:
        raise ValueError(
            f"{source} is no whole {kind.__name__}: {len(missing)} weights missing {missing[:3]}, "
            f"{len(left_over)} left over {left_over[:3]}"
        )
    return model


def from_hub(kind: Any, source: str, **options: Any) -> Any:
    """What `kind.from_pretrained` makes of a directory or hub id; ValueError with the reason otherwise."""
    try:
        return kind.from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
        reason = "HF_HUB_OFFLINE is set" if offline else str(error).splitlines()[0]
        raise ValueError(
            f"model.base={source} could not be loaded ({reason}); download it once while online, or set "
            "model.base to a local directory that holds it"
        ) from error
