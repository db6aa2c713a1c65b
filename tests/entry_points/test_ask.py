"""`ask` answers as the run's own evaluation did, and says what is wrong with a question."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vl_dora.adapters import adapted_layers
from vl_dora.answering import Answerer, Question, files_of
from vl_dora.ask import as_written
from vl_dora.run_directory import read_config


def answered(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def data_folder(run: Path) -> Path:
    return Path(json.loads((run / "results.json").read_text())["data_folder"])


@pytest.fixture(scope="module")
def maker():
    from vl_dora.building import made

    from .conftest import composed

    return made(composed("ask", ["run=x"]).make)


@pytest.fixture(scope="module")
def answerer(finished, maker):
    return Answerer(read_config(finished), finished / "checkpoints" / "best.ckpt", maker)


def test_answers_are_those_of_the_runs_own_evaluation(finished, answerer):
    lines, folder = answered(finished), data_folder(finished)
    found = [
        answerer.ask(
            Question(line["prompt"].removeprefix("vqa: "), tuple(str(folder / i) for i in line["images"]))
        )
        for line in lines
    ]
    assert [one.said for one in found] == [line["text"] for line in lines] and len(lines) > 5
    assert [one.prompt for one in found] == [line["prompt"] for line in lines]


def test_the_adapters_are_merged_so_that_decoding_costs_what_the_base_costs(answerer):
    layers = adapted_layers(answerer.network)
    assert layers and all(layer.merged for layer in layers.values())


def test_the_base_is_the_network_before_training(finished, maker, answerer):
    base = Answerer(read_config(finished), None, maker)
    assert not adapted_layers(base.network)
    base_state = base.network.state_dict()
    frozen = {n: p for n, p in answerer.network.named_parameters() if n in base_state and not p.requires_grad}
    embedded = "bart.model.shared.weight"
    assert base_state[embedded].equal(frozen[embedded])


@pytest.mark.slow
def test_a_llava_answers_as_its_evaluation_did(llava, maker):
    answerer = Answerer(read_config(llava), llava / "checkpoints" / "best.ckpt", maker)
    assert answerer.converses
    folder, compared = data_folder(llava), 0
    for line in answered(llava):
        if line["id"].endswith("#1"):
            files = tuple(str(folder / image) for image in line["images"])
            said = answerer.ask(Question(line["prompt"].removeprefix("<image>\n"), files)).said
            assert said == line["text"]
            compared += 1
    assert compared == 2


def test_text_and_json_go_to_standard_output(finished, asked, capsys):
    line = answered(finished)[0]
    image = f"image={data_folder(finished) / line['images'][0]}"
    question = f"question={line['prompt'].removeprefix('vqa: ')}"
    asked(finished, image, question)
    assert capsys.readouterr().out == f"{line['text']}\n"
    found = asked(finished, image, question, "output=json")
    assert json.loads(capsys.readouterr().out) == found
    assert found["answer"] == line["text"] and found["images"] == [image.removeprefix("image=")]


def test_a_run_on_the_hub_is_asked_by_its_id(finished, asked, tmp_path, monkeypatch, capsys):
    # The hub's cache as a download leaves it; no network is there.
    import huggingface_hub

    repository = tmp_path / "models--someone--a-run"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    (repository / "snapshots").mkdir()
    shutil.copytree(finished, repository / "snapshots" / "c0ffee")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    line = answered(finished)[0]
    image = f"image={data_folder(finished) / line['images'][0]}"
    asked("someone/a-run", image, f"question={line['prompt'].removeprefix('vqa: ')}")
    assert capsys.readouterr().out == f"{line['text']}\n"


@pytest.mark.parametrize(
    "text",
    [
        'is it red, "large" or neither?',
        "what's ${seed}?",
        r"a\b\'c'",
        "'tis a \\",
        "null hypothesis",
        "[a, b]",
    ],
)
def test_a_question_arrives_as_it_was_written(text):
    from .conftest import composed

    assert composed("ask", as_written(["run=a=b, c", f"question={text}"])).question == text


def test_files_are_a_path_several_with_commas_or_a_list(tmp_path):
    odd = tmp_path / "a, b.png"
    odd.touch()
    assert files_of(str(odd)) == (str(odd),)
    assert files_of("a.png, b.png") == ("a.png", "b.png") == files_of(["a.png", "b.png"])
    assert files_of(None) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["question=red"], "image is not set; give image="),
        (["image=nowhere.png", "question=red"], "image=nowhere.png is not a file"),
        (["image=null"], "question is not set; give question="),
        (["image=null", "question=red", "output=xml"], "output=xml must be text or json"),
        (["image=null", "question=red", "as_task=gqa"], "as_task=gqa: the run learned one task, vqa"),
        (["image=null", "question=red", "ckpt_path=no.ckpt"], "no.ckpt does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(finished, asked, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        asked(finished, *options)


def test_a_folder_that_is_no_run_says_what_it_is(asked, tmp_path):
    with pytest.raises(FileNotFoundError, match="run=no/where is neither a folder nor a repository"):
        asked("no/where", "image=null", "question=a")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="is an export: its adapter_config.json"):
        asked(tmp_path, "image=null", "question=a")


@pytest.mark.slow
def test_the_verb_prints_the_answer_alone(finished, tmp_path):
    line = answered(finished)[0]
    image, question = data_folder(finished) / line["images"][0], line["prompt"].removeprefix("vqa: ")
    command = [sys.executable, "-m", "vl_dora.ask", f"run={finished}", f"image={image}"]
    done = subprocess.run([*command, f"question={question}"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{line['text']}\n", "")
    assert list(tmp_path.iterdir()) == []
