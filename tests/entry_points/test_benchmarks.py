"""One finished run scored on every benchmark, its model and adapter untouched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONF = Path(__file__).resolve().parents[2] / "conf"
BENCHMARKS = sorted(path.stem for path in (CONF / "benchmark").glob("*.yaml"))
FEW = {
    "llava_vqav2": ["pictures=3", "more=1"],
    "scienceqa": ["test=8", "val=1"],
    "mmbench": ["pictures=3"],
    "vizwiz": ["pictures=8"],
}
# The tiny base of these tests has room for 64 tokens.
SHORT = ["data.max_prompt_tokens=64", "data.on_long=truncate", "generation.max_new_tokens=4"]
ANSWERED = {"llava_vqav2": 12, "scienceqa": 8}


def results(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


def small(name: str) -> list[str]:
    return [f"data.embedded.{one}" for one in FEW.get(name, ["pictures=4"])]


def test_the_seven_benchmarks_of_llava_and_a_folder_are_there():
    seven = {"llava_vqav2", "llava_gqa", "vizwiz", "scienceqa", "textvqa", "pope", "mmbench"}
    assert set(BENCHMARKS) == {*seven, "ask_folder"}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_run_answers_a_benchmark_with_its_own_model(finished, evaluate, name):
    value = evaluate(finished, f"benchmark={name}", *small(name), *SHORT)
    folder = finished / "evaluations" / name
    found, first = results(folder), results(finished)
    assert found["benchmark"] == name and found["task"] == name.replace("ask_folder", "ask")
    assert (found["trainable"], found["total"]) == (first["trainable"], first["total"]) and found[
        "checkpoint"
    ]
    assert found["adapter"] == first["adapter"] and found["baselines"] in (None, {})
    if name == "ask_folder":
        assert value is None and found["scores"] is None
    else:
        assert value == found["scores"][found["headline"]] and found["interval"]["low"] <= value
    answers = [
        json.loads(line) for line in (folder / "submission" / "answers.jsonl").read_text().splitlines()
    ]
    assert len(answers) == found["samples"] == ANSWERED.get(name, found["samples"]) > 5
    assert {answer["model_id"] for answer in answers} == {finished.name}
    assert not list(folder.glob("answers.partial*"))


def test_the_blind_run_and_another_split_lie_beside_it(finished, evaluate):
    evaluate(finished, "benchmark=pope", "data.split=popular", "data.blind=true", *small("pope"), *SHORT)
    found = results(finished / "evaluations" / "pope-popular-blind")
    assert (
        found["blind"] and found["split"] == "popular" and list(found["by_type"]["category"]) == ["popular"]
    )


def test_another_folder_is_read_in_place_of_the_drawn_one(finished, evaluate, tmp_path):
    from data_modules.scenes import pope

    pope.write(tmp_path / "pope", seed=7, pictures=2)
    evaluate(
        finished, "benchmark=pope", f"data.root={tmp_path / 'pope'}", *SHORT, f"output_dir={tmp_path / 'out'}"
    )
    found = results(tmp_path / "out")
    assert found["data_folder"] == str(tmp_path / "pope") and found["samples"] <= 36


def test_the_runs_own_evaluation_is_as_before(finished, evaluate):
    evaluate(finished, "data.limit.test=5", f"output_dir={finished / 'own'}")
    assert results(finished / "own")["task"] == "vqa" and results(finished / "own")["benchmark"] is None


def test_an_unknown_benchmark_is_one_line_that_lists_them(finished):
    command = [sys.executable, "-m", "vl_dora.evaluate", f"run={finished}", "benchmark=popes"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CONF.parent)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == f"error: benchmark=popes does not exist; allowed: {', '.join(BENCHMARKS)}"
    )


def test_a_prompt_longer_than_the_network_reads_says_what_to_set(finished, evaluate):
    with pytest.raises(ValueError, match=r"positions for 64; set data.max_prompt_tokens=64 and data.on_long"):
        evaluate(finished, "benchmark=vizwiz", *small("vizwiz"))


@pytest.mark.slow
def test_a_llava_answers_questions_with_and_without_pictures_in_one_batch(llava, evaluate):
    evaluate(llava, "benchmark=scienceqa", *small("scienceqa"), "generation.max_new_tokens=3")
    folder = llava / "evaluations" / "scienceqa"
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert {len(line["images"]) for line in lines} == {0, 1} and len(lines) == 8
    assert all(line["prompt"].startswith("Context: ") for line in lines)  # the template is put round it later
    found, first = results(folder), results(llava)
    assert found["trainable"] == first["trainable"] > 0 and found["scores"]["accuracy"] >= 0
