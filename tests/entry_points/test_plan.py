"""What a run would train and cost, from shipped configs on the meta device."""

from __future__ import annotations

import importlib.resources
import json
import socket

import hydra
import pytest

from vl_dora.plan import audit_of, plan
from vl_dora.planned_run import PlannedRun

EXPERIMENTS = sorted(
    file.name.removesuffix(".yaml")
    for file in importlib.resources.files("vl_dora.conf").joinpath("experiment").iterdir()
    if file.name.endswith(".yaml")
)
BATCH = ["batch.prompt_tokens=9", "batch.target_tokens=4", "batch.pictures=1"]


def composed(*overrides: str):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("plan", list(overrides))


@pytest.fixture
def nowhere(tmp_path) -> str:
    """An option by which no embedded world is found, and none is drawn."""
    return f"paths.cache_dir={tmp_path / 'cache'}"


@pytest.mark.parametrize(
    ("model", "adapter", "trainable", "total", "percent"),
    [
        ("vl_bart_image", "vl_bart_lora", 8_786_688, 148_234_752, 5.93),
        ("vl_bart_image", "vl_bart_image_dora", 8_838_912, 148_262_400, 5.96),
        ("vl_bart_video", "vl_bart_lora", 7_607_040, 147_055_104, 5.17),
        ("vl_bart_video", "vl_bart_video_dora", 7_634_688, 147_082_752, 5.19),
    ],
)
def test_counts_are_those_of_the_published_recipes(model, adapter, trainable, total, percent):
    audit = audit_of(composed(f"model={model}", f"adapter={adapter}"))
    assert (audit.trainable, audit.total) == (trainable, total)
    assert round(audit.share_percent, 2) == percent


def test_a_tower_is_planned_without_its_weights():
    audit = audit_of(composed("model=vl_bart_image_tower", "adapter=vl_bart_image_dora"))
    assert audit.trainable == 8_838_912
    assert audit.total > 148_262_400 + 40_000_000


def test_json_output_is_one_object_that_holds_everything(nowhere, capsys, tmp_path):
    plan(composed("experiment=vqa", "output=json", "device_memory=2GiB", nowhere))
    found = json.loads(capsys.readouterr().out)
    assert found["trainable"] == sum(row["trainable"] for row in found["rows"]) > 0
    assert found["total"] == sum(part["total"] for part in found["parts"].values())
    (step,) = found["steps"]
    memory = step["memory"]
    assert sum(memory["at_peak"].values()) == memory["peak"] > memory["activations"] > 0
    assert step["flops_a_step"] == memory["forward_flops"] + memory["backward_flops"] > 0
    # No data there: the network's positions, and as many words as an answer may have.
    assert (step["batch"]["prompt_tokens"], step["batch"]["target_tokens"]) == (128, 8)
    assert step["epoch"] is None and "not here" in found["lengths_not_from_data"]
    assert found["device"] == "cuda" and found["fits"] is True and found["device_memory"] == 2 * 2**30
    assert not (tmp_path / "cache").exists()


def test_the_table_names_every_kind_of_memory_and_says_what_would_fit(nowhere, capsys):
    plan(composed("experiment=vqa", "device_memory=600MB", *BATCH, "data.batch_size=400", nowhere))
    text = capsys.readouterr().out
    assert "parameters train" in text
    for name in ("weights", "gradients", "optimizer state", "activations", "working memory", "peak"):
        assert f"\n{name} " in text
    last = text.splitlines()[-1]
    assert last.startswith("does not fit device_memory=600MB") and "it fits with data.batch_size=" in last


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("output=xml", "output=xml must be table or json"),
        ("device_memory=24", "device_memory=24 must be a number above 0 with a unit"),
        ("device_memory=lots", "device_memory=lots must be a number above 0 with a unit"),
        ("device=tpu", "device=tpu must be cpu or cuda, or null"),
        ("batch.pictures=-1", "batch.pictures=-1 must be a whole number of at least 0, or null"),
        ("batch.prompt_tokens=many", "batch.prompt_tokens=many must be a whole number of at least 1"),
        ("trainer.precision=8", "trainer.precision=8 must be one of 32, 32-true, bf16-mixed"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(override, words):
    with pytest.raises(ValueError, match=words):
        plan(composed("experiment=vqa", override))


def test_a_plan_of_spread_weights_says_that_it_counts_them_whole(nowhere):
    base = ["experiment=llava_instruct", "trainer.devices=2", "batch.prompt_tokens=64", nowhere]
    spread = PlannedRun.of(composed(*base, "trainer=fsdp2"), "cpu", None)
    copied = PlannedRun.of(composed(*base), "cpu", None)
    assert "trainer=fsdp2: weights" in spread.table() and "trainer=fsdp2" not in copied.table()
    assert (spread.to_dict()["upper_bound"], copied.to_dict()["upper_bound"]) == (True, False)
    assert spread.costs[0].weights == copied.costs[0].weights


def test_lengths_and_epochs_are_those_of_the_data_where_it_is_there(small):
    config = composed(*(word for word in small.overrides if word != "debug=fast"), "data.batch_size=7")
    from vl_dora.building import made, make_data, make_tokenizer

    data = make_data(config, made(config.task), make_tokenizer(config))
    data.prepare_data()
    examples = data.examples("train", "train")
    prompts = [len(row) for row in data.collate.encode_prompts([e.prompt for e in examples])]
    targets = [len(row) for row in data.collate.encode_targets([e.target for e in examples])]
    (batch,) = PlannedRun.of(config, "cpu", None).batches
    assert (batch.shape.prompt_tokens, batch.shape.target_tokens) == (max(prompts), max(targets))
    assert batch.epoch.samples == len(examples) and batch.epoch.steps == -(-len(examples) // 7)
    assert batch.epoch.tokens == sum(prompts) + sum(targets)


@pytest.fixture
def no_network(monkeypatch):
    """Whoever asks for a name or a connection fails."""

    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a plan asked the network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_planned_without_data_and_network(experiment, nowhere, no_network, capsys):
    options = ("output=json", "device_memory=24GB", "paths.run_dir=unused", nowhere)
    plan(composed(f"experiment={experiment}", *options))
    found = json.loads(capsys.readouterr().out)
    assert found["fits"] is True and "not here" in found["lengths_not_from_data"]
    parts = {"vl_bart_image": 4, "vl_bart_video": 4}
    assert len(found["steps"]) == parts.get(experiment, 1)
    for step in found["steps"]:
        memory, trains = step["memory"], found["trainable"] > 0
        kinds = ("gradients", "optimizer", "activations", "backward_flops")
        assert [memory[kind] > 0 for kind in kinds] == [trains] * len(kinds)
        assert memory["forward_flops"] > 0
        assert sum(memory["at_peak"].values()) == memory["peak"] > memory["weights"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "layers", "width", "weights"),
    [("llava_1_5_7b", 32, 4096, 6.7e9), ("llava_1_5_13b", 40, 5120, 13.0e9)],
)
def test_llava_is_planned_as_the_paper_trains_it(model, layers, width, weights, nowhere, no_network):
    """Frozen weights take two bytes, what trains four; checkpointing keeps a state a layer."""
    choices = ("experiment=llava_instruct", f"model={model}", "adapter=llava_dora")
    run = PlannedRun.of(composed(*choices, "trainer.devices=8", nowhere), "cuda", 24 * 10**9)
    (cost,) = run.costs
    trainable, total = run.audit.trainable, run.audit.total
    assert cost.weights == pytest.approx(2 * (total - trainable) + 4 * trainable, rel=1e-3)
    assert cost.gradients == 4 * trainable and cost.optimizer == 8 * trainable
    samples, tokens = run.batches[0].shape.samples, 2048
    states = layers * samples * tokens * width * 2  # bytes
    assert states < cost.activations < 2 * states
    # 2 a weight of the language part forward, and the backward pass computes checkpoints again beside dx.
    assert cost.forward_flops == pytest.approx(2 * weights * samples * tokens, rel=0.15)
    assert cost.backward_flops == pytest.approx(2 * cost.forward_flops, rel=0.15)
    assert run.needed(cost) == cost.peak + cost.gradients + 2**29  # DDP's buckets, CUDA's own
    assert not run.verdict.fits
