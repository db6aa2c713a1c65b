"""The video tasks: prompts as VL-Adapter writes them, official scores, files for the servers."""

from __future__ import annotations

import json
import logging

import pytest

from vl_dora.batch import ClipRef, Prediction
from vl_dora.metrics import captions as caption_metric
from vl_dora.tasks.interface import Task
from vl_dora.tasks.nextqa import NExTQA
from vl_dora.tasks.open_video_qa import ActivityNetQA, OpenVideoQA
from vl_dora.tasks.subtitled_choice import SubtitledChoice
from vl_dora.tasks.video_captioning import VideoCaptioning

CLIP = ClipRef("videos/tv/house_1.mp4")
LINES = (
    {"text": "Hey!", "start": 0.0, "end": 1.0},
    {"text": "Where is she?", "start": 60.0, "end": 62.0},
)
TVQA = SubtitledChoice(
    name="tvqa",
    prompt="[Subs] {subtitles} [Q] {question} [TS] ({moment}) [Choices] {choices} tvqa: ",
    submission="tvqa_test_predictions.json",
)
TVC = VideoCaptioning(
    name="tvc",
    prompt="[Subs] {subtitles} [TS] ({moment}) tvc: ",
    submission="tvc_test_predictions.jsonl",
    submits_moment=True,
)
YC2C = VideoCaptioning(
    name="yc2c", prompt="[Subs] {subtitles} yc2c: ", submission="yc2c_test_predictions.jsonl"
)
MSVD = OpenVideoQA(name="msvd_qa", prompt="msvd: {question}")


def question(qid: int = 7, **changes) -> dict:
    given = {
        "qid": qid,
        "q": "What is it?",
        **{f"a{n}": f"thing {n}" for n in range(5)},
        "a1": " Her hat. ",
        "answer_idx": 2,
        "ts": "59.5-63",
        "vid_name": "house_1",
        "show_name": "House",
        "subtitles": LINES,
        "frames": CLIP,
    }
    return {key: value for key, value in {**given, **changes}.items() if value is not ...}


def clip(clip_id: int = 5, **changes) -> dict:
    given = {
        "vid_name": "house_1",
        "clip_id": clip_id,
        "ts": [59.5, 63.0],
        "captions": ["He sits down.", "A man sits."],
        "subtitles": LINES,
        "frames": CLIP,
    }
    return {key: value for key, value in {**given, **changes}.items() if value is not ...}


def said(task, rows: list[dict], texts: list[str]) -> list[Prediction]:
    return [Prediction(task.example(row), text) for row, text in zip(rows, texts, strict=True)]


@pytest.mark.parametrize("task", [TVQA, TVC, YC2C, MSVD, ActivityNetQA(), NExTQA()], ids=lambda t: t.name)
def test_each_is_a_task(task):
    assert isinstance(task, Task) and task.loss_reduction == "sample"


def test_the_prompt_of_a_subtitled_question_is_vl_adapters():
    example = TVQA.example(question())
    assert example.prompt == (
        "[Subs] Hey! Where is she? [Q] What is it? [TS] (59.5-63) [Choices] a0: thing 0. a1: Her hat. "
        "a2: thing 2. a3: thing 3. a4: thing 4. tvqa: "
    )
    assert (example.id, example.target, example.answers, example.frames) == ("7", "a2", ("a2",), CLIP)
    assert [example.prompt[a:b] for a, b in example.spare] == ["Hey! ", "Where is she? "]


def test_four_choices_are_four_and_an_unanswered_question_has_no_target():
    example = TVQA.example(question(a4=..., answer_idx=..., show_name=...))
    assert "a3: thing 3. tvqa: " in example.prompt and example.target == "" and example.answers == ()


def test_a_moment_is_told_alike_unless_as_the_reference_tells_it():
    assert "[TS] (59.5-63.0) tvc: " in TVC.example(clip()).prompt
    as_list = VideoCaptioning("tvc", TVC.prompt, TVC.submission, moment_as_list=True)
    assert as_list.example(clip()).prompt == "[Subs] Hey! Where is she? [TS] ([59.5, 63.0]) tvc: "
    assert YC2C.example(clip(ts=...)).prompt == "[Subs] Hey! Where is she? yc2c: "
    with pytest.raises(KeyError, match="ts"):
        TVC.example(clip(ts=...))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("{question} tvqa: ", r"task.prompt='\{question\} tvqa: ' must contain \{choices\}"),
        (
            "{question} {choices} {show}",
            r"may name \{question\}, \{choices\}, .*; got question, choices, show",
        ),
        ("{question} {choices} {choices}", "each once"),
    ],
)
def test_a_prompt_must_name_what_it_shows(prompt, message):
    with pytest.raises(ValueError, match=message):
        SubtitledChoice("tvqa", prompt, "x.json")


def test_only_the_number_of_the_right_choice_is_right(caplog):
    rows = [
        question(1),
        question(2),
        question(3, show_name="Friends", vid_name="f"),
        question(4),
        question(5),
    ]
    with caplog.at_level(logging.WARNING):
        report = TVQA.score(said(TVQA, rows, ["a2", " a2 ", "a2", "a1", "thing 2"]))
    assert report.scores == {"accuracy": pytest.approx(60)}
    assert report.by_type["show"] == {"House": 50.0, "Friends": 100.0}
    assert report.by_type["question_type"] == {"what": pytest.approx(60)}
    assert report.per_sample == {"1": 100, "2": 100, "3": 100, "4": 0, "5": 0}
    assert set(report.clusters.values()) == {"house_1", "f"}
    assert "tvqa: 1 of 5 texts are no choice and count as wrong, such as 'thing 2' (5)" in caplog.text


def test_the_server_gets_an_index_for_every_question(tmp_path, caplog):
    predictions = said(TVQA, [question(1), question(2)], ["a4", "a hat"])
    with caplog.at_level(logging.WARNING):
        (path,) = TVQA.write_submission(predictions, tmp_path)
    assert path.name == "tvqa_test_predictions.json"
    assert json.loads(path.read_text()) == {"1": 4, "2": 0}
    assert "1 of 2 texts are no choice and are submitted as 0 in tvqa_test_predictions.json" in caplog.text


def test_captions_score_as_the_value_evaluator_scores(tmp_path):
    rows = [clip(5), clip(6, captions=["Café at noon.", "It is noon."], vid_name="f")]
    report = TVC.score(said(TVC, rows, ["A man sits down.", "Caf at noon."]))
    official = caption_metric.value_score(
        ["A man sits down.", "Caf at noon."], [row["captions"] for row in rows]
    )
    assert {name: round(value, 2) for name, value in report.scores.items()} == {
        name.lower(): value for name, value in official.scores.items()
    }
    assert next(iter(report.scores)) == "cider"
    assert sum(report.per_sample.values()) / 2 == pytest.approx(report.scores["cider"])
    # What is no ASCII is a space to the evaluator: "caf at noon" is found word for word.
    assert report.per_sample["6"] > report.per_sample["5"]
    assert report.clusters == {"5": "house_1", "6": "f"}


def test_a_row_of_one_caption_has_an_id_of_its_own():
    assert TVC.example(clip(caption_id=51, captions=["He sits."])).id == "5-51"
    assert TVC.example(clip(clip_id=...)).id == "house_1@[59.5, 63.0]"
    assert YC2C.example(clip(clip_id=..., ts=...)).id == "house_1@"


def test_the_server_gets_captions_with_moments_for_tvc_only(tmp_path):
    (path,) = TVC.write_submission(said(TVC, [clip(5)], [" He sits. "]), tmp_path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"vid_name": "house_1", "clip_id": 5, "ts": [59.5, 63.0], "descs": [{"desc": "He sits."}]}
    ]
    (path,) = YC2C.write_submission(said(YC2C, [clip(5)], ["Sit."]), tmp_path)
    assert json.loads(path.read_text()) == {"vid_name": "house_1", "clip_id": 5, "descs": [{"desc": "Sit."}]}


def test_clips_without_a_number_cannot_be_submitted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert TVC.write_submission(said(TVC, [clip(clip_id=...)], ["He sits."]), tmp_path) == []
    assert "no tvc_test_predictions.jsonl is written: the sample house_1@" in caplog.text
    assert not list(tmp_path.iterdir())


def test_open_answers_are_right_letter_by_letter(tmp_path):
    rows = [
        {"id": n, "question": q, "answer": "two cats", "video_id": n // 2, "frames": CLIP}
        for n, q in enumerate(["What is it?", "who eats", "what sits"])
    ]
    predictions = said(MSVD, rows, ["two cats", "Two cats", "two cats "])
    report = MSVD.score(predictions)
    assert report.scores == {"accuracy": pytest.approx(200 / 3)}
    assert report.by_type == {"question_type": {"what": 100.0, "who": 0.0}}
    assert report.clusters == {"0": "0", "1": "0", "2": "1"}
    assert predictions[0].example.prompt == "msvd: What is it?"
    (path,) = MSVD.write_submission(predictions, tmp_path)
    assert path.name == "msvd_qa_predictions.json"
    assert json.loads(path.read_text()) == {"0": "two cats", "1": "Two cats", "2": "two cats"}


def test_activitynet_has_nine_types_and_free_questions():
    rows = [
        {
            "question_id": f"x_{n}",
            "video_name": "x",
            "question": "is it",
            "answer": "yes",
            "type": n,
            "frames": CLIP,
        }
        for n in (0, 3, 4, 8)
    ]
    task = ActivityNetQA()
    report = task.score(said(task, rows, ["yes", "yes", "no", "no"]))
    assert report.scores == {"accuracy": pytest.approx(50), "free": pytest.approx(100 / 3)}
    assert report.by_type == {
        "question_type": {"0 motion": 100.0, "3 yes/no": 100.0, "4 color": 0.0, "8 other": 0.0}
    }
    assert task.example({**rows[0], "question": "{question}?"}).prompt == "activitynet: {question}?"


def nextqa(qid: int, kind: str, **changes) -> dict:
    given = {"video": "40", "qid": str(qid), "question": "how", "type": kind, "answer": 3, "frames": CLIP}
    return {**given, **{f"a{n}": f"thing {n}" for n in range(5)}, **changes}


def test_nextqa_tells_causal_temporal_and_descriptive_questions_apart(tmp_path):
    task = NExTQA()
    rows = [nextqa(1, "CW"), nextqa(2, "CH"), nextqa(3, "TP"), nextqa(4, "TN"), nextqa(5, "DO", video="41")]
    predictions = said(task, rows, ["a3", "a0", "a3", "a1", "none"])
    report = task.score(predictions)
    assert report.scores == {"accuracy": 40.0, "causal": 50.0, "temporal": 50.0, "descriptive": 0.0}
    assert report.by_type["question_type"]["TN before and after"] == 50.0
    assert report.clusters["40_1"] == "40" and report.clusters["41_5"] == "41"
    assert predictions[0].example.prompt == (
        "[Q] how [Choices] a0: thing 0. a1: thing 1. a2: thing 2. a3: thing 3. a4: thing 4. nextqa: "
    )
    (path,) = task.write_submission(predictions, tmp_path)
    written = json.loads(path.read_text())
    assert written["40_1"] == {"prediction": 3, "answer": 3}
    assert written["41_5"] == {"prediction": -1, "answer": 3}
