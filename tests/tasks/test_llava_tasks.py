"""What LLaVA's seven benchmarks share: the prompt is the row's text, and one file of answers."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from vl_dora.batch import ImageRef, Prediction
from vl_dora.tasks.ask import Ask
from vl_dora.tasks.interface import Task
from vl_dora.tasks.llava_gqa import LlavaGQA
from vl_dora.tasks.llava_vqav2 import LlavaVQAv2
from vl_dora.tasks.mmbench import MMBench
from vl_dora.tasks.pope import POPE
from vl_dora.tasks.scienceqa import ScienceQA
from vl_dora.tasks.textvqa import TextVQA
from vl_dora.tasks.vizwiz import VizWiz

IMAGE = ImageRef("a.jpg")
HUMANS = [{"answer": "red"}] * 6 + [{"answer": "dark red"}] * 4


def given(number, asked, **fields):
    return {"question_id": number, "asked_id": asked, "text": "Q {x}?\nAnswer.", "images": (IMAGE,), **fields}


@pytest.fixture
def kinds(tmp_path) -> dict[str, SimpleNamespace]:
    """Name -> task and one row of it with a number and its target."""
    listed = tmp_path / "listed.jsonl"
    listed.write_text('{"question_id": 7}\n{"question_id": 9}\n')
    gqa = {
        "question": "Q?",
        "answer": "red",
        "isBalanced": True,
        "types": {"structural": "query", "semantic": "attr", "detailed": "color"},
        "groups": {"global": None},
        "entailed": [],
        "semantic": [{"operation": "query", "argument": "color"}],
    }
    science = {
        "choices": ["x", "y"],
        "answer": 1,
        "hint": "",
        "subject": "s",
        "grade": "grade2",
        "topic": "t",
    }
    bench = {
        "options": ["x", "y"],
        "answer": "B",
        "category": "c",
        "l2_category": "d",
        "columns": {"index": "7"},
    }
    rows = {
        "llava_vqav2": (LlavaVQAv2(), given(7, 7, answers=HUMANS, listed_in=str(listed)), "red"),
        "llava_gqa": (LlavaGQA(), given("07", "07", **gqa), "red"),
        "vizwiz": (
            VizWiz(),
            given(7, "i.jpg", image="i.jpg", answers=HUMANS, answerable=1, answer_type="o"),
            "red",
        ),
        "textvqa": (TextVQA(), given(7, "aa", image_id="aa", answers=["red"] * 10), "red"),
        "pope": (POPE(), given(7, 7, category="random", label="no"), "no"),
        "scienceqa": (ScienceQA(), given("7", "7", **science), "B"),
        "mmbench": (MMBench(), given(7, 7, **bench), "B"),
        "ask": (Ask(), given("x", "x"), ""),
    }
    return {n: SimpleNamespace(task=t, row=r, target=target) for n, (t, r, target) in rows.items()}


NAMES = ["llava_vqav2", "llava_gqa", "vizwiz", "textvqa", "pope", "scienceqa", "mmbench", "ask"]


@pytest.mark.parametrize("name", NAMES)
def test_is_a_task_whose_prompt_is_the_text_alone(kinds, name):
    kind = kinds[name]
    example = kind.task.example(kind.row)
    assert isinstance(kind.task, Task) and kind.task.name == name
    assert (
        example.prompt == "Q {x}?\nAnswer." and example.target == kind.target and example.images == (IMAGE,)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_file_of_answers_is_llavas_and_the_same_every_time(kinds, name, tmp_path):
    kind = kinds[name]
    predictions = [Prediction(kind.task.example(kind.row), "Ünsure.")]
    paths = kind.task.write_submission(predictions, tmp_path / "one")
    assert paths[0].name == "answers.jsonl" or paths[-1].name == "answers.jsonl"
    text = (tmp_path / "one" / "answers.jsonl").read_text("utf-8")
    (line,) = map(json.loads, text.splitlines())
    assert list(line) == ["question_id", "prompt", "text", "answer_id", "model_id", "metadata"]
    assert line["question_id"] == kind.row["asked_id"] and type(line["question_id"]) is type(
        kind.row["asked_id"]
    )
    assert line["text"] == "Ünsure." and line["metadata"] == {} and line["model_id"] == "vl_dora"
    assert line["prompt"] == ("<image>\n" if name == "scienceqa" else "") + "Q {x}?\nAnswer."
    kind.task.write_submission(predictions, tmp_path / "two")
    assert (tmp_path / "two" / "answers.jsonl").read_text("utf-8") == text


@pytest.mark.parametrize("name", [n for n in NAMES if n != "ask"])
def test_the_target_itself_scores_full_marks_and_nonsense_none(kinds, name):
    kind = kinds[name]
    example = kind.task.example(kind.row)
    report = kind.task.score([Prediction(example, kind.target)])
    assert next(iter(report.scores)) == kind.task.headline
    # The only label here is no: there is nothing positive to find, and F1 is 0 by the rule for it.
    expected = 0.0 if name == "pope" else 100.0
    assert report.scores[kind.task.headline] == pytest.approx(expected)
    assert report.per_sample == {example.id: pytest.approx(100.0)}
    wrong = kind.task.score([Prediction(example, "yes indeed")])
    assert wrong.per_sample == {example.id: pytest.approx(0.0)}
    assert float(report.weighted()(np.ones((1, 1)))[kind.task.headline][0]) == pytest.approx(expected)


def test_the_model_is_named_by_the_last_part_of_its_path(tmp_path):
    task = Ask(model_id="/runs/mine/tuned")
    task.write_submission([Prediction(task.example(given(1, 1)), "a")], tmp_path)
    assert json.loads((tmp_path / "answers.jsonl").read_text())["model_id"] == "tuned"


def test_questions_without_answers_have_no_score(kinds):
    kind = kinds["ask"]
    with pytest.raises(ValueError, match="has no answers to score against"):
        kind.task.score([Prediction(kind.task.example(kind.row), "a")])
    with pytest.raises(ValueError, match="task.prompt='vqa' must contain {text}"):
        Ask(prompt="vqa")
