"""The verb `score`, from files to one object or a table; a user's mistake is one sentence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import hydra
import pytest

import vl_dora.conf
from vl_dora.score import score

METRICS = sorted(path.stem for path in (Path(vl_dora.conf.__file__).parent / "metric").glob("*.yaml"))


def composed(*overrides: str):
    with hydra.initialize_config_module("vl_dora.conf", version_base="1.3"):
        return hydra.compose("score", list(overrides))


@pytest.fixture
def choices(tmp_path):
    """Overrides for TVQA files: 40 questions, of which the first predictions get 20 and the second 30."""
    rows = [{"qid": n, "answer_idx": 1, "vid_name": f"v{n}", "show_name": "House"} for n in range(40)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "p.json").write_text(json.dumps({str(n): int(n < 20) for n in range(40)}))
    (tmp_path / "q.json").write_text(json.dumps({str(n): int(n < 30) for n in range(40)}))
    return [f"metric=tvqa predictions={tmp_path / 'p.json'} references={tmp_path / 'r.jsonl'}".split()][0]


def test_json_output_is_one_object_with_intervals_and_breakdowns(choices, capsys):
    score(composed(*choices, "output=json"))
    found = json.loads(capsys.readouterr().out)
    assert found["items"] == 40 and found["scale"] == "percent"
    assert found["scores"] == {"accuracy": 50.0}
    low, high = found["intervals"]["accuracy"]
    assert low < 50 < high and high - low == pytest.approx(2 * 196 * math.sqrt(0.25 / 40), rel=0.2)
    assert found["by_type"] == {"show": {"House": 50.0}}
    assert found["resampling"] == {"level": 0.95, "resamples": 1000, "seed": 0}


def test_two_files_are_compared_in_pairs(choices, tmp_path, capsys):
    score(composed(*choices, f"against={tmp_path / 'q.json'}", "output=json", "resamples=5000"))
    found = json.loads(capsys.readouterr().out)
    assert found["against_scores"] == {"accuracy": 75.0}
    pair = found["differences"]["accuracy"]
    assert pair["difference"] == pytest.approx(25.0)
    # Ten of ten changes are for the better: 2 / 2^10 by the sign test.
    assert pair["p_value"] == pytest.approx(2 / 2**10, abs=0.002)
    assert 0 < pair["interval"][0] < 25 < pair["interval"][1]


def test_the_table_shows_score_interval_and_comparison(choices, tmp_path, capsys):
    score(composed(*choices))
    said = capsys.readouterr().out
    assert said.startswith("40 items, percent\n") and "accuracy  50.00" in said and "House" in said
    score(composed(*choices, f"against={tmp_path / 'q.json'}"))
    assert "+25.00" in capsys.readouterr().out


def test_without_resamples_there_are_scores_only(choices, tmp_path, capsys):
    score(composed(*choices, f"against={tmp_path / 'q.json'}", "output=json", "resamples=0"))
    found = json.loads(capsys.readouterr().out)
    assert "intervals" not in found and "differences" not in found
    assert found["against_scores"] == {"accuracy": 75.0}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("output=xml", "output=xml must be table or json"),
        ("resamples=-1", "resamples=-1 must be 0"),
        ("level=2", "level=2.* must lie between 0 and 1"),
        ("~metric", "metric is not set; allowed: activitynet_qa, anls, captions"),
        ("predictions=/nowhere", "predictions=/nowhere does not exist"),
    ],
)
def test_a_wrong_option_is_an_error(choices, override, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        score(composed(*choices, override))


def test_a_fault_in_the_second_file_is_said_to_be_there(choices, tmp_path):
    (tmp_path / "q.json").write_text("{}")
    with pytest.raises(ValueError, match="^against: .*40 of 40 ids"):
        score(composed(*choices, f"against={tmp_path / 'q.json'}"))


def test_an_undefined_score_is_null_in_json(tmp_path, capsys):
    question = {
        "question": "Is it?",
        "answer": "yes",
        "isBalanced": True,
        "types": {"structural": "verify", "semantic": "attr", "detailed": "x"},
    }
    (tmp_path / "r.json").write_text(json.dumps({"1": question}))
    (tmp_path / "p.json").write_text(json.dumps([{"questionId": "1", "prediction": "yes"}]))
    files = (f"predictions={tmp_path / 'p.json'}", f"references={tmp_path / 'r.json'}")
    score(composed("metric=gqa", *files, "output=json"))
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["open"] is None and found["scores"]["binary"] == 100.0


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_made_from_its_config_and_names_a_missing_file(metric):
    with pytest.raises(FileNotFoundError, match="(predictions|references)=/nowhere does not exist"):
        score(composed(f"metric={metric}", "predictions=/nowhere", "references=/nowhere"))


def test_an_option_of_one_metric_is_none_of_another():
    assert composed("metric=gqa", "choices=x").choices == "x"
    with pytest.raises(Exception, match="choices"):
        composed("metric=tvqa", "choices=x")


def test_the_command_line_answers_and_says_mistakes_in_one_line(choices, tmp_path):
    command = [sys.executable, "-m", "vl_dora.score", *choices]
    run = subprocess.run([*command, "output=json"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["scores"] == {"accuracy": 50.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json", "q.json", "r.jsonl"]
    (tmp_path / "p.json").write_text('{"0": 1, "99": 1}')
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == "" and run.stderr.count("\n") == 1
    assert "39 of 40 ids (1, 2, 3, 4, 5, ...) without a prediction and 1 id (99) not among" in run.stderr


def test_scoring_brings_nothing_heavy(choices, tmp_path):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['score', *{choices!r}, 'resamples=10']\n"
        "runpy.run_module('vl_dora.score', run_name='__main__', alter_sys=True)\n"
        "names = ('torch', 'transformers', 'lightning', 'timm', 'matplotlib')\n"
        "heavy = [name for name in names if name in sys.modules]\n"
        "assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_files_of_other_items_are_not_compared_and_both_are_named(tmp_path):
    (tmp_path / "dev.json").write_text(json.dumps({"identifier": "7-0", "label": "true"}) + "\n")
    (tmp_path / "statements.csv").write_text("7-0,true\n")
    (tmp_path / "pictures.csv").write_text("".join(f"dev-7-0-{k}.png,true\n" for k in range(6)))
    given = [f"predictions={tmp_path / 'statements.csv'}", f"references={tmp_path / 'dev.json'}"]
    with pytest.raises(
        ValueError, match="predictions=.*statements.csv and against=.*pictures.csv: .* not of the same"
    ):
        score(composed("metric=nlvr_cornell", *given, f"against={tmp_path / 'pictures.csv'}"))


def test_a_run_and_the_verb_give_the_same_scores_and_intervals_of_the_same_answers(
    finished, tmp_path, capsys
):
    run = json.loads((finished / "results.json").read_text())
    (answers,) = (finished / "submission").glob("*.json")
    asked = {row["question_id"] for row in json.loads(answers.read_text())}
    (annotations,) = Path(run["data_folder"]).glob("*test*annotations.json")
    document = json.loads(annotations.read_text())
    document["annotations"] = [row for row in document["annotations"] if row["question_id"] in asked]
    (tmp_path / "asked.json").write_text(json.dumps(document))
    given = [f"predictions={answers}", f"references={tmp_path / 'asked.json'}", "output=json"]
    score(composed("metric=vqa_accuracy", *given))
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["accuracy"] == round(run["scores"]["accuracy"], 2)
    assert found["intervals"]["accuracy"] == pytest.approx(run["intervals"]["accuracy"])
    assert run["intervals"]["accuracy"] == [run["interval"]["low"], run["interval"]["high"]]
