"""A tiny random base, a small drawn world, and runs in this process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch

from vl_dora.models.base import save_base
from vl_dora.models.tiny_tokenizer import build_tokenizer
from vl_dora.models.vision import TinyTower
from vl_dora.models.vl_bart import VLBart

WORDS = (
    "how many red blue green yellow circle square triangle things are there yes no what color shape is the"
)


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> SimpleNamespace:
    """The overrides that make experiment=vqa a matter of seconds, and where their files lie."""
    folder = tmp_path_factory.mktemp("small")
    tokenizer = build_tokenizer([WORDS])
    text = {
        "vocab_size": len(tokenizer),
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 64,
        "dropout": 0.1,
        "init_std": 0.05,
    }
    torch.manual_seed(0)
    tower = TinyTower(32)
    network = VLBart(text, feature_dim=32, num_visual_tokens=36, max_images=2, vision=tower)
    save_base(network, tokenizer, folder / "base", {"network": text})
    overrides = [
        "experiment=vqa",
        "debug=fast",
        f"model.base={folder / 'base'}",
        *(f"model.network.text.{key}={value}" for key, value in text.items()),
        "model.network.feature_dim=32",
        "model.network.vision.num_features=32",
        f"paths.cache_dir={folder / 'cache'}",
        *(f"data.embedded.{role}=12" for role in ("train", "val", "test", "composition")),
    ]
    return SimpleNamespace(folder=folder, overrides=overrides)


def composed(name: str, overrides: list[str]):
    """A config as the command line would give it."""
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose(name, overrides)


@pytest.fixture(scope="session")
def train(small):
    """train(run_dir, *overrides) -> the objective."""
    from vl_dora.train import train as entry

    return lambda run_dir, *more: entry(
        composed("train", [*small.overrides, f"paths.run_dir={run_dir}", *more])
    )


@pytest.fixture(scope="session")
def evaluate():
    """evaluate(run_dir, *overrides) -> the headline score."""
    from vl_dora.evaluate import evaluate as entry

    return lambda run_dir, *more: entry(composed("evaluate", [f"run={run_dir}", *more]))


@pytest.fixture(scope="session")
def export():
    """export(run_dir, *overrides) -> the folder written."""
    from vl_dora.export import export as entry

    return lambda run_dir, *more: entry(composed("export", [f"run={run_dir}", *more]))


@pytest.fixture(scope="session")
def convert(small):
    """convert(*overrides) -> the audit of the imported adapter."""
    from vl_dora.convert import convert as entry

    return lambda *more: entry(composed("convert", [*small.overrides, *more]))


@pytest.fixture(scope="session")
def finished(train, small) -> Path:
    """A run directory of a finished DoRA run."""
    run_dir = small.folder / "finished"
    train(run_dir)
    return run_dir


@pytest.fixture(scope="session")
def asked():
    """asked(run_dir, *overrides) -> what `ask` found; the overrides as a user types them."""
    from vl_dora.ask import as_written
    from vl_dora.ask import ask as entry

    return lambda run_dir, *more: entry(composed("ask", as_written([f"run={run_dir}", *more])))


@pytest.fixture(scope="session")
def llava(tmp_path_factory):
    """A run of a few steps of a small LLaVA with random weights."""
    from vl_dora.train import train as entry

    folder = tmp_path_factory.mktemp("llava")
    choices = ["experiment=llava_instruct", "model=tiny_llava", "debug=fast", "evaluate_before=false"]
    base = ["model.base=null", "model.tokenizer=tiny_scenes", "model.network.text.vocab_size=396"]
    world = [f"data.embedded.{role}={count}" for role, count in (("train", 12), ("val", 2), ("test", 2))]
    paths = [f"paths.cache_dir={folder / 'cache'}", f"paths.run_dir={folder / 'run'}"]
    entry(composed("train", [*choices, *base, *world, *paths, "generation.max_new_tokens=3"]))
    return folder / "run"
