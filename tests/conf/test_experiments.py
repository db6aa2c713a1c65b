"""Every experiment that is shipped composes, builds and runs through."""

from __future__ import annotations

import json
from pathlib import Path

import hydra
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vl_dora.cli import VERBS
from vl_dora.models.base import save_base, shipped_bases
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.plan import audit_of
from vl_dora.train import train

CONF = Path(__file__).resolve().parents[2] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# These score a network as it is: nothing trains, and there is no training split to count answers in.
SCORED = {path.stem for path in (CONF / "benchmark").glob("*.yaml")}
# An embedded world is drawn with at most so many of everything.
FEW = 12


def composed(name: str, overrides: list[str]):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose(name, overrides)


def choices(group: str) -> list[str]:
    return sorted(p.stem for p in (CONF / group).glob("*.yaml") if not p.stem.startswith("_"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def parts(config) -> dict:
    """The data sets of an experiment by their path in the config: one, or those of a mixture."""
    if "parts" not in config.data:
        return {"data": config.data}
    return {f"data.parts.{name}": part for name, part in config.data.parts.items()}


def small_world(config) -> list[str]:
    """Overrides that shrink every count of the embedded worlds."""
    fewer = []
    for path, part in parts(config).items():
        counts = {k: v for k, v in (part.embedded or {}).items() if isinstance(v, int) and k != "seed"}
        fewer += [f"{path}.embedded.{name}={FEW}" for name, count in counts.items() if count > FEW]
        # So few presentations leave a tenth of them empty.
        fewer += [f"{path}.files.held_share=0.5"] if "held_share" in part.files else []
    return fewer


def base_of(config, folder: Path) -> list[str]:
    """Overrides for a random base where the experiment's own is not shipped yet."""
    if config.model.base in shipped_bases():
        return []
    torch.manual_seed(0)
    network = instantiate(config.model.network, _convert_="all")
    save_base(network, build_tokenizer([]), folder, {})
    return [f"model.base={folder}"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_runs_through(experiment, cache, tmp_path):
    overrides = [f"experiment={experiment}", "debug=fast", f"paths.run_dir={tmp_path / 'run'}"]
    overrides.append(f"paths.cache_dir={cache}")
    config = composed("train", overrides)
    if any(part.embedded is None for part in parts(config).values()):
        pytest.skip(f"experiment={experiment} has no embedded world, so it needs data.root")
    config = composed("train", [*overrides, *small_world(config), *base_of(config, tmp_path / "base")])
    objective = train(config)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    scored = experiment in SCORED
    assert results["steps"] == (0 if scored else 4) and results["samples"] <= 8 * len(parts(config))
    assert results["objective"] == {**results["objective"], "name": config.objective, "value": objective}
    assert (results["scores"] is None) == (experiment == "ask_folder")  # which has no answers
    assert bool(results["baselines"]) == (results["trainable"] > 0) == (not scored)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_plans_on_the_meta_device(experiment):
    # Submissions name a model after the run directory, which Hydra names at a launch only.
    audit = audit_of(composed("plan", [f"experiment={experiment}", "paths.run_dir=unused"]))
    assert 0 <= audit.trainable <= audit.total and (audit.trainable == 0) == (experiment in SCORED)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_file_begins_with_its_command(experiment):
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith(f"# python -m vl_dora.train experiment={experiment}")


@pytest.mark.parametrize("adapter", choices("adapter"))
def test_every_adapter_choice_fits_the_network_it_is_for(adapter):
    if adapter.startswith("llava_small_"):
        model = ["model=tiny_llava"]
    elif adapter.startswith("llava_"):  # at its full width, for rank 128, and shallow, for speed
        model = ["model=llava_1_5_7b", "model.network.text.num_hidden_layers=2"]
    elif adapter.startswith("vl_bart_"):
        model = ["model=vl_bart_video" if "video" in adapter else "model=vl_bart_image"]
    else:
        model = ["model=tiny_vl_bart"]
    audit = audit_of(composed("plan", [*model, f"adapter={adapter}"]))
    assert (audit.trainable > 0) == (adapter != "frozen")


@pytest.mark.parametrize("model", choices("model"))
def test_every_shipped_base_fits_the_config_that_names_it(model):
    config = composed("train", [f"model={model}", "paths.run_dir=unused"])
    if config.model.base not in shipped_bases():
        pytest.skip(f"model.base={config.model.base} is not shipped")
    network = instantiate(config.model.network, _convert_="all")
    instantiate(config.model.load_base)(network, config.model.base)
    tokenizer = instantiate(config.model.load_tokenizer)(config.model.tokenizer)
    assert len(tokenizer) == config.model.network.text.vocab_size


@pytest.mark.parametrize("name", VERBS)
def test_every_entry_point_composes(name):
    assert OmegaConf.is_config(composed(name, []))


@pytest.mark.parametrize("model", ["llava_1_5_7b", "llava_1_5_13b", "llava_1_5_7b_vicuna"])
def test_the_papers_numbers_come_with_the_papers_models(model):
    given = ["experiment=llava_instruct", "adapter=llava_dora", f"model={model}"]
    given += ["model.load_base.projector=mm_projector.bin"] if "vicuna" in model else []
    config = composed("train", given)
    assert (config.optim.lr, config.optim.schedule, config.optim.warmup_fraction) == (2e-4, "cosine", 0.03)
    assert config.data.batch_size * config.trainer.accumulate_grad_batches * 8 == 128
    assert (config.adapter.language.rank, config.adapter.language.alpha) == (128, 256)
    assert (config.adapter.projector, config.adapter.vision) == ({"method": "full", "lr": 2e-5}, "frozen")
    assert config.adapter.language.dropout == 0.05 and config.trainer.precision == "bf16-mixed"
