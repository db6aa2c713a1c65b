"""Names of modules in adapter files: those of the transformers model, today's and older ones.

A network may hold a transformers model as one of its modules. Its attribute `adapter_root` is then the path
of that module, and adapter files name everything from there, so that plain PEFT puts them on that model.

LLaVA of transformers 4.51 and older kept its language model under `language_model.model`; until version 5
the CLIP tower had one more level, `vision_model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

# (path today, path then) pairs, one tuple for each generation of names; the first that fits is taken.
GENERATIONS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("model.vision_tower", "model.vision_tower.vision_model"),),
    (
        ("model.language_model", "language_model.model"),
        ("lm_head", "language_model.lm_head"),
        ("model.vision_tower", "vision_tower.vision_model"),
        ("model.multi_modal_projector", "multi_modal_projector"),
    ),
)


def name_in_file(network: nn.Module, path: str) -> str:
    """The name under which a module or parameter stands in an adapter file written today.

    Raises:
        ValueError: it lies beside the network's `adapter_root`.
    """
    root = getattr(network, "adapter_root", "")
    if not root or path == "":
        return path
    if path != root and not path.startswith(f"{root}."):
        raise ValueError(
            f"{path} lies outside {root}, whose adapters alone have names in the files of PEFT; "
            f"leave it frozen"
        )
    return path[len(root) + 1 :]


def key_in_file(network: nn.Module, key: str, prefix: str) -> str:
    """The key of a tensor in an adapter file written today, from the one with the network's own path."""
    return prefix + name_in_file(network, key.removeprefix(prefix))


def names_in_file(network: nn.Module, owners: Iterable[str]) -> dict[str, str]:
    """Module path in the network -> its name in a file, for every module.

    Args:
        network: where the file's tensors go.
        owners: names of the modules that the file holds tensors of.

    Returns:
        Today's names, or those of the newest generation under which every owner is found, the network's
        own paths counting as the oldest; today's again where none fits, so that whoever asks can list what
        the network lacks.
    """
    wanted = set(owners)
    paths = [path for path, _ in network.named_modules(remove_duplicate=False)]
    root = getattr(network, "adapter_root", "")
    inside = {p: name_in_file(network, p) for p in paths if not root or f"{p}.".startswith((".", f"{root}."))}
    generations = [{path: _then(name, pairs) for path, name in inside.items()} for pairs in GENERATIONS]
    generations.append({path: path for path in paths})
    fitting = (names for names in generations if wanted <= set(names.values()))
    return {path: path for path in paths} | next(fitting, generations[0])


def renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str], prefix: str) -> dict[str, Tensor]:
    """The tensors under today's keys; keys of no known module stay as they are, for the audit to name."""
    here = {there: path for path, there in names.items() if there and there != path}
    if not here:
        return dict(tensors)
    return {_today(key, here, prefix): tensor for key, tensor in tensors.items()}


def _then(path: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for today, then in pairs:
        if path == today or path.startswith(today + "."):
            return then + path[len(today) :]
    return path


def _today(key: str, here: Mapping[str, str], prefix: str) -> str:
    words = key.removeprefix(prefix).split(".")
    for length in range(len(words) - 1, 0, -1):
        owner = ".".join(words[:length])
        if owner in here:
            return prefix + ".".join([here[owner], *words[length:]])
    return key
