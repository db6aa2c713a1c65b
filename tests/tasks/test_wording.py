"""A question of one's own reads as the task's own questions do."""

from __future__ import annotations

import pytest

from vl_dora.batch import ClipRef
from vl_dora.tasks.captioning import Captioning
from vl_dora.tasks.gqa import GQA
from vl_dora.tasks.instructions import Instructions
from vl_dora.tasks.nlvr_cornell import NLVRCornell
from vl_dora.tasks.subtitled_choice import SubtitledChoice
from vl_dora.tasks.vqa import VQA
from vl_dora.tasks.wording import word

CHOICE = SubtitledChoice(
    "tvqa", "[Subs] {subtitles} [Q] {question} [TS] ({moment}) [Choices] {choices} tvqa: ", "x.json"
)


def test_the_question_stands_where_the_task_puts_it():
    assert word(VQA(), question=" Is it red? ").prompt == "vqa: Is it red?"
    assert word(GQA(prompt_typo=True), question="Is it?").prompt == "gpa: Is it?"
    assert word(Instructions(), question="Say {what} you see.").prompt == "Say {what} you see."


def test_a_statement_is_written_as_the_task_writes_its_own():
    row = {"label": "true", "sentence": "There is a Box.", "images": (), "presentation": "p", "picture": "q"}
    own = NLVRCornell().example({**row, "identifier": "1", "permutation": 0, "label_source": "gold"})
    assert word(NLVRCornell(), question="There is a Box.").prompt == own.prompt == "nlvr: there is a box ."


def test_multiple_choice_with_subtitles_reads_as_the_row_of_the_data_set():
    row = {"qid": 1, "q": "Who?", "a0": "a tie", "a1": "a hat.", "answer_idx": 1, "ts": "3.5-8"}
    row |= {
        "vid_name": "v",
        "frames": ClipRef("v.mp4"),
        "subtitles": [{"text": "Hey!", "start": 1, "end": 2}],
    }
    asked = {"question": "Who?", "choices": ["a tie", "a hat."], "moment": "3.5-8"}
    worded = word(CHOICE, **asked, subtitles="Hey!")
    assert worded.prompt == CHOICE.example(row).prompt
    assert word(CHOICE, **asked).prompt == CHOICE.example({**row, "subtitles": []}).prompt
    assert [worded.read(text) for text in ("a0", "a1", "a2", "a hat")] == ["a tie", "a hat.", "a2", "a hat"]


def test_a_template_of_ones_own_takes_the_place_of_the_tasks():
    assert word(Captioning(), question="Why?", prompt="vqa: {question}").prompt == "vqa: Why?"
    assert word(VQA(), question=None, prompt="caption: ").prompt == "caption: "


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        (VQA(), {"question": None}, "question is not set; give question="),
        (VQA(), {"question": "  "}, "question is not set"),
        (Captioning(), {"question": "Why?"}, r"'Why\?' has no place in the prompt 'caption: '"),
        (VQA(), {"question": "a", "choices": ["b", "c"]}, "choices has no place in the prompt"),
        (CHOICE, {"question": "a", "moment": "1-2"}, "choices is not set, which the prompt"),
        (CHOICE, {"question": "a", "moment": "1-2", "choices": ["b"]}, "must be at least two"),
        (VQA(), {"question": "a", "prompt": "{questions}"}, r"may name \{question\}, .*; got \{questions\}"),
    ],
)
def test_what_does_not_fit_is_named(task, given, message):
    with pytest.raises(ValueError, match=message):
        word(task, **given)
