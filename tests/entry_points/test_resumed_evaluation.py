"""An evaluation that was killed goes on after its last answer and ends with the same files."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Slow enough to be killed on the way: one question at a time, several beams.
SLOW = [
    "data.limit.test=24",
    "data.eval_batch_size=1",
    "generation.num_beams=4",
    "generation.max_new_tokens=20",
]


def answers_of(path: Path) -> list[dict]:
    """The whole lines of a file of answers but the first."""
    return [json.loads(line) for line in path.read_text().split("\n")[1:-1]] if path.is_file() else []


def half_done(folder: Path, num: int) -> Path:
    """Cuts the last part off a kept file of answers, inside a line."""
    path = folder / "answers.partial.jsonl"
    lines = (folder / "kept.jsonl").read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: num + 1]) + lines[num + 1][: len(lines[num + 1]) // 2])
    return path


@pytest.fixture
def undisturbed(finished, evaluate, tmp_path, monkeypatch):
    """A finished evaluation in batches of three, whose file of answers is kept as kept.jsonl."""
    from vl_dora.lightning_modules.written_answers import WrittenAnswers

    monkeypatch.setattr(
        WrittenAnswers, "remove", lambda self: os.replace(self._path, self.folder / "kept.jsonl")
    )
    more = ["data.limit.test=14", "data.eval_batch_size=3", f"output_dir={tmp_path / 'out'}"]
    evaluate(finished, *more)
    return tmp_path / "out", more


def scored(folder: Path) -> dict:
    found = json.loads((folder / "results.json").read_text())
    return {key: found[key] for key in ("scores", "interval", "by_type", "samples", "baselines")}


def killed_after_three_answers(run: Path, partial: Path) -> int:
    """Starts an evaluation and kills it once three answers are written; how many were by then."""
    command = [sys.executable, "-m", "vl_dora.evaluate", f"run={run}", *SLOW, f"output_dir={partial.parent}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    while len(answers_of(partial)) < 3 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, complaint = process.communicate()
    if process.returncode == 0:  # it had come to its end
        return 24
    assert process.returncode == -signal.SIGKILL, complaint.decode()[-2000:]
    return len(answers_of(partial))


@pytest.mark.slow
def test_a_killed_process_is_gone_on_with_and_ends_with_the_same_files(finished, evaluate, tmp_path, caplog):
    evaluate(finished, *SLOW, f"output_dir={tmp_path / 'whole'}")
    # On a busy machine this process may look too late; then another one is killed.
    for attempt in range(5):
        partial = tmp_path / f"cut-{attempt}" / "answers.partial.jsonl"
        done = killed_after_three_answers(finished, partial)
        if done < 24:
            break
    assert 3 <= done < 24 and not (partial.parent / "predictions.jsonl").exists()

    with caplog.at_level(logging.INFO):
        evaluate(finished, *SLOW, f"output_dir={partial.parent}")
    told = [record.getMessage() for record in caplog.records if "going on after" in record.getMessage()]
    assert told == [f"going on after {done} answers of {partial}"]
    for name in ("predictions.jsonl", "submission/vqa_results.json"):
        assert (partial.parent / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert scored(partial.parent) == scored(tmp_path / "whole")
    assert not partial.exists()


@pytest.mark.parametrize("num", [2, 7])
def test_what_was_answered_is_not_answered_again(finished, evaluate, undisturbed, num, monkeypatch):
    folder, more = undisturbed
    before = (folder / "predictions.jsonl").read_bytes()
    half_done(folder, num)
    asked = []
    from vl_dora.lightning_modules.adapter_tuning import AdapterTuning

    predict = AdapterTuning._predict
    monkeypatch.setattr(
        AdapterTuning, "_predict", lambda self, b: (asked.append(len(b)), predict(self, b))[1]
    )
    evaluate(finished, *more)
    assert (folder / "predictions.jsonl").read_bytes() == before
    # Whole batches of three count; what is left of another is asked again.
    assert sum(asked) == 14 - num // 3 * 3


def test_a_pass_that_was_cut_off_after_its_last_answer_ends_the_same(finished, evaluate, undisturbed):
    folder, more = undisturbed
    before = (folder / "predictions.jsonl").read_bytes()
    os.replace(folder / "kept.jsonl", folder / "answers.partial.jsonl")
    evaluate(finished, *more)
    assert (folder / "predictions.jsonl").read_bytes() == before


def test_answers_of_another_evaluation_are_refused_and_named(finished, evaluate, undisturbed):
    folder, more = undisturbed
    half_done(folder, 7)
    with pytest.raises(ValueError, match=r"differs in config\.generation\.num_beams; set resume=false"):
        evaluate(finished, *more, "generation.num_beams=2")
    with pytest.raises(ValueError, match=r"differs in config\.data\.blind; set resume=false"):
        evaluate(finished, *more, "data.blind=true")
    evaluate(finished, *more, "generation.num_beams=2", "resume=false")
    assert not (folder / "answers.partial.jsonl").exists()


@pytest.mark.parametrize("text", ['{"about": {"conf', '{"about": {"config": 3}}\n'])
def test_a_file_without_an_answer_is_begun_anew(finished, evaluate, undisturbed, text):
    folder, more = undisturbed
    before = (folder / "predictions.jsonl").read_bytes()
    (folder / "answers.partial.jsonl").write_text(text)
    evaluate(finished, *more)
    assert (folder / "predictions.jsonl").read_bytes() == before


def test_a_frozen_run_that_was_cut_off_is_gone_on_with_by_evaluate(
    train, evaluate, tmp_path, monkeypatch, caplog
):
    from vl_dora.lightning_modules.adapter_tuning import AdapterTuning

    frozen = ["adapter=frozen", "data.splits.val=null", "data.eval_batch_size=2", "data.limit.test=8"]
    train(tmp_path / "whole", *frozen)
    assert not (tmp_path / "whole" / "evaluations").exists()
    predict, asked = AdapterTuning._predict, []

    def failing(self, batch):
        asked.append(len(batch))
        if len(asked) == 3:
            raise RuntimeError("the power went")
        return predict(self, batch)

    monkeypatch.setattr(AdapterTuning, "_predict", failing)
    with pytest.raises(RuntimeError, match="the power went"):
        train(tmp_path / "cut", *frozen)
    asked[:] = [0] * 10
    with caplog.at_level(logging.INFO):
        evaluate(tmp_path / "cut")
    assert "going on after 4 answers" in caplog.text and len(asked) == 12
    cut, whole = tmp_path / "cut" / "evaluations" / "test", tmp_path / "whole"
    assert (cut / "predictions.jsonl").read_bytes() == (whole / "predictions.jsonl").read_bytes()
