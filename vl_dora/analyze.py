"""How weights moved while they were tuned: python -m vl_dora.analyze runs=<folder of a sweep>

Reads what `vl_dora.train … analysis.steps=[…]` kept, and compares full tuning, LoRA and DoRA as section 3.2
of the DoRA paper does: change of magnitude against change of direction, weight by weight.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vl_dora.entry_point import launch

log = logging.getLogger(__name__)


def analyze(options: DictConfig) -> Path:
    """Measures every kept step of every run; returns the folder of the table and the picture."""
    from vl_dora.building import plain
    from vl_dora.reports.decomposition import Moved, summarise, write_analysis
    from vl_dora.run_directory import find_runs

    runs = {run: _measured(run) for run in find_runs(plain(options.runs))}
    layers = common_layers({run: set(moved) for run, moved in runs.items()}, options.layers)
    points = [
        Moved(str(run), method, seed, layer, step, change.magnitude, change.direction)
        for run, moved in runs.items()
        for method, seed in [_labels(run)]
        for layer in layers
        for step, change in moved[layer].items()
    ]
    out = Path(str(options.out)).expanduser().absolute()
    summary = summarise(points)
    write_analysis(points, summary, out)
    log.info("%s\n%s", summary.table(), out)
    return out


def common_layers(available: dict[Path, set[str]], endings: Any) -> list[str]:
    """The weights that all runs train, or of these the ones with the given endings.

    Raises:
        ValueError: the runs have none in common, or an ending fits none.
    """
    common = sorted(set.intersection(*available.values()))
    if not common:
        raise ValueError("runs have no weight in common that all of them train; analyze fewer of them")
    if endings is None:
        return common
    chosen: set[str] = set()
    for ending in endings:
        fitting = {layer for layer in common if layer == ending or layer.endswith(f".{ending}")}
        if not fitting:
            names = sorted({layer.rpartition(".")[2] for layer in common})
            raise ValueError(
                f"layers={ending} is trained by not all of the runs; there are {', '.join(names)}"
            )
        chosen |= fitting
    return sorted(chosen)


def _labels(run: Path) -> tuple[str, int]:
    """Method and seed of a run, as its results or its config have them."""
    from vl_dora.reports.results import read_results
    from vl_dora.run_directory import read_config

    config = read_config(run)
    try:
        name = read_results(run).get("adapter")
    except (FileNotFoundError, ValueError):
        name = None
    language = OmegaConf.select(config, "adapter.language")
    method = language.get("method") if OmegaConf.is_dict(language) else language
    return str(name or method), int(config.seed)


def _measured(run: Path) -> dict[str, dict[int, Any]]:
    """Module path -> step -> change, of all linear maps and convolutions that the run trains.

    Raises:
        ValueError: the run kept no weights.
    """
    from vl_dora.adapters import load_trainable_state
    from vl_dora.adapters.decomposition import change_of, tuned_weight
    from vl_dora.building import build
    from vl_dora.lightning_modules.kept_weights import kept_weights, read_weights
    from vl_dora.run_directory import ANALYSIS, read_config, settle_paths

    kept = kept_weights(run / ANALYSIS)
    if not kept:
        raise ValueError(
            f"run {run} kept no weights; train it with analysis.steps=[50,100,…] (optimizer steps)"
        )
    config = read_config(run)
    config.paths.run_dir = str(run)
    settle_paths(config)
    network = build(config).module.network
    layers = dict(_trained_layers(network))
    bases = {path: layer.weight.detach().clone() for path, layer in layers.items()}
    found: dict[str, dict[int, Any]] = {path: {} for path in layers}
    for step, file in kept.items():
        try:
            load_trainable_state(network, read_weights(file))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
        for path, layer in layers.items():
            found[path][step] = change_of(bases[path], tuned_weight(layer))
    return found


def _trained_layers(network: Any) -> Iterator[tuple[str, Any]]:
    """Adapted layers, and plain linear maps and convolutions whose weight trains, by path."""
    from torch import nn

    from vl_dora.adapters import adapted_layers

    adapted = adapted_layers(network)
    yield from adapted.items()
    for path, module in network.named_modules():
        inside = any(path == outer or path.startswith(f"{outer}.") for outer in adapted)
        if (
            not inside
            and isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
            and module.weight.requires_grad
        ):
            yield path, module


def main() -> None:
    """The command line."""
    launch("analyze", analyze)


if __name__ == "__main__":
    main()
