"""Every ready study composes in all its combinations, and each of them changes what trains or on what."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from vl_dora.plan import audit_of

CONF = Path(__file__).resolve().parents[2] / "conf"
STUDIES = sorted(path.stem for path in (CONF / "study").glob("*.yaml") if not path.stem.startswith("_"))


def composed(overrides: list[str], *, with_hydra: bool = False):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("train", overrides, return_hydra_config=with_hydra)


def swept(study: str) -> dict[str, list[str]]:
    """The choices of each swept option."""
    config = composed([f"study={study}"], with_hydra=True)
    params = OmegaConf.to_container(config.hydra.sweeper.params)
    return {name: str(values).split(",") for name, values in params.items()}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_a_sweep_over_three_seeds_in_a_folder_of_its_name(study):
    config = composed([f"study={study}"], with_hydra=True)
    assert config.hydra.mode.name == "MULTIRUN"
    assert swept(study)["seed"] == ["1", "2", "3"]
    folder = OmegaConf.to_container(config.paths)["run_dir"]
    named = folder.replace("${hydra:runtime.choices.study}", config.hydra.runtime.choices.study)
    assert f"{named}/".startswith(f"runs/studies/{study}/")
    # The line to type stands in the file.
    assert f"vl_dora.train study={study}" in (CONF / "study" / f"{study}.yaml").read_text()


@pytest.mark.parametrize("study", STUDIES)
def test_every_value_of_a_study_changes_the_run(study):
    options = {name: values for name, values in swept(study).items() if name != "seed"}
    first = {name: values[0] for name, values in options.items()}
    for name, values in options.items():
        seen = []
        for value in values:
            config = composed([f"study={study}", *(f"{k}={v}" for k, v in (first | {name: value}).items())])
            plain = OmegaConf.to_container(config)
            seen.append(json.dumps([plain["adapter"], plain["data"], plain["task"]]))
        assert len(set(seen)) == len(values)


@pytest.mark.parametrize("study", STUDIES)
def test_every_combination_of_a_study_fits_its_network(study):
    options = {name: values for name, values in swept(study).items() if name != "seed"}
    for chosen in product(*options.values()):
        words = [f"{name}={value}" for name, value in zip(options, chosen, strict=True)]
        assert audit_of(composed([f"study={study}", *words])).total > 0, words


@pytest.mark.parametrize("study", ["ranks", "half_rank"])
def test_the_scale_of_the_update_is_one_at_every_rank(study):
    for adapter, rank in product(("lora", "dora"), (4, 128)):
        language = composed(
            [f"study={study}", f"adapter={adapter}", f"adapter.language.rank={rank}"]
        ).adapter.language
        assert (language.method, language.rank, language.alpha) == (adapter, rank, rank)


def test_the_command_line_chooses_another_experiment_for_a_study():
    config = composed(["study=methods", "experiment=gqa", "adapter=lora"])
    assert config.task._target_ == composed(["experiment=gqa"]).task._target_
    assert config.adapter.language.method == "lora"


def test_magnitudes_beside_attention_train_one_number_an_output():
    config = composed(["experiment=vqa", "adapter=dora_attention_magnitude"])
    attention, both = audit_of(composed(["experiment=vqa", "adapter=dora_attention"])), audit_of(config)
    text = config.model.network.text
    # out_proj, fc2 and fc1 of each layer; the decoder has out_proj of the attention to the encoder too.
    encoder = text.encoder_layers * (2 * text.d_model + text.encoder_ffn_dim)
    decoder = text.decoder_layers * (3 * text.d_model + text.decoder_ffn_dim)
    trainable = [sum(row.trainable for row in audit.rows) for audit in (attention, both)]
    assert trainable[1] - trainable[0] == encoder + decoder
