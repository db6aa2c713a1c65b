"""Which importer a foreign adapter is for."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vl_dora.adapters.apply import adapted_layers
from vl_dora.adapters.audit import AdaptationAudit
from vl_dora.adapters.files import ON_DRIFT, load_adapter, put_adapter
from vl_dora.adapters.importers import llava_fork, llava_lora, llm_fork, lycoris, vl_bart_reference
from vl_dora.adapters.importers.placing import place
from vl_dora.adapters.importers.stored import Stored, read_stored
from vl_dora.adapters.layer import check_word
from vl_dora.adapters.matching import shorten
from vl_dora.adapters.saved import RECORD, Saved


def import_adapter(network: nn.Module, path: str | Path, *, on_drift: str = "raise") -> AdaptationAudit:
    """Puts an adapter on a fresh network, in whatever known format it was saved.

    Pickles are read for tensors alone, never run. Every tensor is accounted for; when anything does not
    fit, the network is left as it was. `save_adapter` then writes it in PEFT's format.

    Args:
        network: the base that the adapter was made for, not adapted.
        path: a file, or a directory with `adapter_model.safetensors`, `adapter_model.bin` or `LAST.pth`.
        on_drift: "raise" or "warn" where the file tells the base's weights and they are not the network's.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: an unknown format, one with the magnitude on the other axis, a damaged file, another
            network or base, or an option outside these words.
    """
    check_word("on_drift", on_drift, ON_DRIFT)
    if adapted_layers(network):
        raise ValueError("the network already has adapters; import into a fresh one")
    path = Path(path)
    if (path / RECORD).is_file():
        return load_adapter(network, path, on_drift=on_drift)
    stored = read_stored(path)
    keys = [*stored.tensors, *stored.beside]
    strange = lycoris.recognises(keys)
    if strange is not None:
        lycoris.refuse(stored, strange)
    for importer in (vl_bart_reference, llava_fork, llava_lora, llm_fork):
        if importer.recognises(stored):
            return place(network, importer.read(network, stored), on_drift)
    if _of_peft(stored):
        if stored.beside:
            raise ValueError(
                f"{path} holds an adapter of PEFT and beside it non_lora_trainables.bin, whose tensors are "
                f"of no known format: {shorten(stored.beside)}; without that file the adapter alone is read"
            )
        return put_adapter(network, path, Saved(stored.config, stored.tensors))
    raise ValueError(
        f"{path} is of no known format; it holds {shorten(keys)}. Known: PEFT's lora_A, lora_B and "
        f"lora_magnitude_vector with adapter_config.json; VL-BART's weight_v and weight_m; "
        f"the forks' weight_m_wdecomp"
    )


def _of_peft(stored: Stored) -> bool:
    if stored.config.get("peft_type") == "DORA":
        raise ValueError(
            f"{stored.source} is of a fork (peft_type DORA) and holds no magnitudes (weight_m_wdecomp); the "
            f"LLaVA fork writes them to non_lora_trainables.bin, put that file beside it"
        )
    return bool(stored.config) and any(".lora_A." in key for key in stored.tensors)
