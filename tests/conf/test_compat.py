"""Each known fault of the reference comes by its name and is repaired without it."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import hydra
import pytest
import torch
from hydra.utils import instantiate

from data_modules.scenes import captions, gqa, vqa
from vl_dora.adapters import apply_adapters, parameter_groups
from vl_dora.batch import Example, Prediction
from vl_dora.building import plain

CONF = Path(__file__).resolve().parents[2] / "conf"
FAULTS = [
    "decay_norms_and_magnitudes",
    "gqa_chooses_on_testdev",
    "gqa_prompt_typo",
    "right_truncation",
    "unmasked_padding",
    "video_moment_as_list",
    "video_single_reference",
    "vqa_question_20_tokens",
    "vqa_score_bugs",
]
LONG = " ".join(["red"] * 60)


def composed(*overrides: str):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("train", [*overrides, "paths.run_dir=unused"])


def made(node):
    return instantiate(node, _convert_="all")


def test_all_are_repaired_by_default_and_compat_reference_brings_all():
    assert composed().compat == dict.fromkeys(FAULTS, False)
    assert composed("compat=reference").compat == dict.fromkeys(FAULTS, True)
    one = composed("compat=reference", "compat.gqa_prompt_typo=false").compat
    assert [name for name, there in one.items() if not there] == ["gqa_prompt_typo"]


def test_every_name_is_read_by_some_config_and_no_other_is():
    texts = [path.read_text() for path in CONF.rglob("*.yaml")]
    assert set(re.findall(r"\$\{compat\.(\w+)\}", "\n".join(texts))) == set(FAULTS)


@pytest.fixture(params=[False, True], ids=["repaired", "faulty"])
def faulty(request) -> bool:
    return request.param


@pytest.mark.parametrize(
    ("experiment", "path"), [("gqa", "task"), ("vl_bart_image", "task.tasks.gqa")], ids=["alone", "mixture"]
)
def test_gqa_prompt_typo(experiment, path, faulty):
    config = composed(f"experiment={experiment}", f"compat.gqa_prompt_typo={faulty}")
    task = made(functools.reduce(lambda node, key: node[key], path.split("."), config))
    row = {"question_id": "1", "question": "Is it?", "images": ()}
    assert task.example(row).prompt == ("gpa: Is it?" if faulty else "gqa: Is it?")


@pytest.mark.parametrize("experiment", ["gqa", "vl_bart_image"])
def test_gqa_chooses_on_testdev(experiment, faulty, tmp_path):
    gqa.write(tmp_path, train=2, val=1, testdev=1)
    data = composed(f"experiment={experiment}", f"compat.gqa_chooses_on_testdev={faulty}").data
    files = made((data.parts.gqa if experiment == "vl_bart_image" else data).files)
    images = {s: {row["image_id"] for row, _ in files.rows(tmp_path, s)} for s in ("train", "val", "testdev")}
    assert len(images["train"]) == (3 if faulty else 2)
    assert (images["val"] == images["testdev"]) is faulty
    assert not images["train"] & images["testdev"]


def batch_of(data, prompt: str, target: str):
    """What the data module makes of one sample of these texts."""
    from data_modules.collate import Sample

    return data.collate([Sample(Example("1", prompt, target), target)])


def data_module(experiment: str, write, folder: Path, fault: str, faulty: bool, part: str):
    write(folder)
    config = composed(f"experiment={experiment}", f"compat.{fault}={faulty}", f"data.root={folder}")
    tokenizer = made(config.model.load_tokenizer)(config.model.tokenizer)
    if experiment == "vl_bart_image":
        data = made(config.data)(task=made(config.task), tokenizer=tokenizer, image_size=96)
        return data.parts[part]
    return made(config.data)(task=made(config.task), tokenizer=tokenizer, image_size=96)


FEW_VQA = functools.partial(vqa.write, train=1, val=1, test=1, composition=1)
FEW_GQA = functools.partial(gqa.write, train=1, val=1, testdev=1)
FEW_CAPTIONS = functools.partial(captions.write, train=1, val=1, test=1)


@pytest.mark.parametrize(
    ("experiment", "write", "part", "limits"),
    [
        ("vqa", FEW_VQA, "", (20, 10)),
        ("gqa", FEW_GQA, "", (20, 62)),
        ("vl_bart_image", FEW_VQA, "vqa", (20, 10)),
        ("vl_bart_image", FEW_GQA, "gqa", (20, 62)),
    ],
)
def test_vqa_question_20_tokens(experiment, write, part, limits, faulty, tmp_path):
    fault = "vqa_question_20_tokens"
    batch = batch_of(data_module(experiment, write, tmp_path, fault, faulty, part), LONG, LONG)
    # Sixty words between the two special tokens.
    expected = limits if faulty else (62, 62)
    assert (batch.input_ids.shape[1], batch.labels.shape[1]) == expected
    assert batch.input_ids[0, -1] == 2


@pytest.mark.parametrize(("experiment", "part"), [("coco_caption", ""), ("vl_bart_image", "caption")])
def test_right_truncation(experiment, part, faulty, tmp_path):
    data = data_module(experiment, FEW_CAPTIONS, tmp_path, "right_truncation", faulty, part)
    batch = batch_of(data, "caption: ", LONG)
    assert batch.labels.shape[1] == (40 if faulty else 62)


SPOKEN = [{"text": "red " * 99 + "red", "start": 10.0 * n, "end": 10.0 * n + 9} for n in range(8)]


def write_value(folder: Path, name: str, row: dict, subtitles: str) -> None:
    """One question or clip whose subtitles have 800 words, in VALUE's files."""
    (folder / "ann" / name.split("_")[0]).mkdir(parents=True)
    (folder / "ann" / name.split("_")[0] / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    lines = json.dumps({"vid_name": "v", "sub": SPOKEN}) + "\n"
    (folder / "ann" / f"{subtitles}_subtitles.jsonl").write_text(lines)


def video_data(experiment: str, folder: Path, part: str, *overrides: str):
    """The data module of one video task, blind, for a network with 600 places."""
    at = f"data.parts.{part}" if experiment == "vl_bart_video" else "data"
    given = [f"experiment={experiment}", f"data.root={folder}", f"{at}.blind=true"]
    config = composed(*given, f"{at}.max_prompt_tokens=600", *overrides)
    tokenizer = made(config.model.load_tokenizer)("tiny_scenes")
    data = made(config.data)(task=made(config.task), tokenizer=tokenizer, image_size=48)
    return data.parts[part] if experiment == "vl_bart_video" else data


ASKED = {"qid": 1, "q": "is it red?", "answer_idx": 1, "ts": [12.0, 13.0], "vid_name": "v"}
CHOICES = {f"a{n}": "red" for n in range(5)}


@pytest.mark.parametrize("experiment", ["tvqa", "vl_bart_video"])
def test_right_truncation_eats_the_question_of_a_long_clip(experiment, faulty, tmp_path):
    write_value(tmp_path, "tvqa_val", {**ASKED, **CHOICES}, "tv")
    data = video_data(experiment, tmp_path, "tvqa", f"compat.right_truncation={faulty}")
    (example,) = data.examples("val", "val")
    batch = batch_of(data, example.prompt, "a1")
    assert batch.input_ids.shape[1] <= 600
    read = data.tokenizer.decode(batch.input_ids[0], skip_special_tokens=True)
    assert read.startswith(data.tokenizer.decode(data.tokenizer("[Subs] red")["input_ids"][1:-1]))
    end = data.tokenizer.decode(data.tokenizer("[Choices] tvqa:")["input_ids"][1:-1]).split()[-1]
    assert read.endswith(end) is not faulty
    # The lines nearest to the moment stay.
    kept = example.prompt.count("red " * 99)
    assert kept == (8 if faulty else 5)


def test_right_truncation_cuts_captions_of_clips_after_20_tokens(faulty, tmp_path):
    write_value(tmp_path, "yc2c_val_release", {"vid_name": "v", "descs": []}, "yc2")
    data = video_data("yc2c", tmp_path, "yc2c", f"compat.right_truncation={faulty}")
    assert batch_of(data, "yc2c: ", LONG).labels.shape[1] == (20 if faulty else 62)


@pytest.mark.parametrize("experiment", ["tvc", "how2qa", "vl_bart_video"])
def test_video_moment_as_list(experiment, faulty):
    task = made(composed(f"experiment={experiment}", f"compat.video_moment_as_list={faulty}").task)
    task = task.tasks["tvc"] if experiment == "vl_bart_video" else task
    row = {**ASKED, **CHOICES, "subtitles": (), "captions": ["It is red."], "frames": None}
    written = "[TS] ([12.0, 13.0]) " if faulty else "[TS] (12.0-13.0) "
    assert written in task.example(row).prompt


@pytest.mark.parametrize(("experiment", "part"), [("tvc", "tvc"), ("vl_bart_video", "tvc"), ("yc2c", "yc2c")])
def test_video_single_reference(experiment, part, faulty, tmp_path):
    descs = [{"desc": text, "desc_id": n} for n, text in enumerate(["It is red.", "All is red."])]
    row = {"vid_name": "v", "clip_id": 7, "ts": [12.0, 13.0], "descs": descs}
    write_value(tmp_path, f"{part}_val_release", row, {"tvc": "tv", "yc2c": "yc2"}[part])
    data = video_data(experiment, tmp_path, part, f"compat.video_single_reference={faulty}")
    answers = [example.answers for example in data.examples("val", "val")]
    assert answers == ([("It is red.",), ("All is red.",)] if faulty else [("It is red.", "All is red.")])


@pytest.mark.parametrize(("experiment", "part"), [("vqa", None), ("vl_bart_image", "vqa")])
def test_vqa_score_bugs(experiment, part, faulty):
    task = made(composed(f"experiment={experiment}", f"compat.vqa_score_bugs={faulty}").task)
    task = task.tasks[part] if part else task
    answers = [{"answer": word, "answer_id": i} for i, word in enumerate(("two",) * 9 + ("2",))]
    row = {"question_id": 1, "question": "How many?", "answers": answers, "images": ()}
    report = task.score([Prediction(task.example(row), "two")])
    # A human's "two" is the digit 2 to the official script; VL-T5 only makes the prediction one.
    assert report.scores["accuracy"] == pytest.approx(30 if faulty else 100)
    assert report.per_sample["1"] == pytest.approx(30 if faulty else 100)


@pytest.mark.parametrize("model", ["tiny_vl_bart", "tiny_vl_bart_clips", "vl_bart_image", "vl_bart_video"])
def test_unmasked_padding(model, faulty):
    config = composed(f"model={model}", f"compat.unmasked_padding={faulty}")
    with torch.device("meta"):
        network = made(config.model.network)
    assert network.attends_to_padding is faulty


def test_decay_norms_and_magnitudes(faulty):
    overrides = ("model=vl_bart_image", "adapter=vl_bart_image_dora")
    config = composed(*overrides, f"compat.decay_norms_and_magnitudes={faulty}")
    with torch.device("meta"):
        network = made(config.model.network)
    settings = made(config.optim)
    audit = apply_adapters(network, plain(config.adapter), default_lr=settings.lr)
    groups = parameter_groups(
        network,
        audit,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        decay_norms_and_magnitudes=settings.decay_norms_and_magnitudes,
    )
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    norms = [p for name, p in trained.items() if "norm" in name and name.endswith("weight")]
    magnitudes = [p for name, p in trained.items() if "magnitude" in name]
    biases = [p for name, p in trained.items() if name.endswith("bias")]
    assert len(magnitudes) == 36 and norms and biases
    assert {decay[id(p)] for p in norms + magnitudes} == {0.01 if faulty else 0.0}
    assert {decay[id(p)] for p in biases} == {0.0}
