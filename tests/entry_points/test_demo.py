"""The page of `ask demo=true`: two networks answer side by side, each in a conversation of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import pytest

from vl_dora import demo
from vl_dora.answering import Answer, Answerer, Question
from vl_dora.building import made
from vl_dora.chat_page import Asked
from vl_dora.run_directory import read_config

from .conftest import composed
from .test_ask import answered, data_folder

HERE = {"host": "127.0.0.1", "port": 0}


@dataclass
class Echo:
    """Answers with how many turns came before."""

    converses: bool = True
    asked: list[Question] = field(default_factory=list)

    def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        if question.text == "bad":
            raise ValueError("no answer to that")
        prompt = f"<{question.text}>"
        return Answer(str(len(question.turns)), "said", prompt, question.files, None, 0.5)


def texts(found) -> list[str]:
    return [str(one) if isinstance(one, ValueError) else one[0] for one in found]


def test_each_network_goes_on_with_its_own_conversation_and_the_last_files():
    first, second = Echo(), Echo(converses=False)
    respond, memory = demo.Respondents([first, second], {}), demo.Memory()
    assert texts(respond(Asked("one", ("a.png",), {}), memory)) == ["0", "0"]
    assert texts(respond(Asked("two", (), {}), memory)) == ["1", "0"]
    assert first.asked[1].turns == (("<one>", "said"),) and first.asked[1].files == ("a.png",)
    # New pictures are another conversation.
    assert texts(respond(Asked("three", ("b.png",), {}), memory)) == ["0", "0"]
    assert second.asked[2].files == ("b.png",)


def test_a_question_that_cannot_be_answered_leaves_no_turn():
    one = Echo()
    respond, memory = demo.Respondents([one], {}), demo.Memory()
    assert texts(respond(Asked("bad", (), {}), memory)) == ["no answer to that"]
    assert texts(respond(Asked("good", (), {}), memory)) == ["0"]


def test_fields_of_the_page_are_told_to_the_task():
    one = Echo()
    respond = demo.Respondents([one], {"moment": "1-2"})
    list(respond(Asked("", (), {"choices": "a tie | a hat |", "subtitles": "Hey!"}), demo.Memory()))
    assert one.asked[0].extras == {"moment": "1-2", "choices": ["a tie", "a hat"], "subtitles": "Hey!"}
    assert one.asked[0].text is None


def test_a_port_that_is_taken_and_a_missing_library_are_one_sentence(monkeypatch):
    from vl_dora import chat_page

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ValueError, match=f"port={port} cannot be listened on .*; give another port, or 0"
        ):
            chat_page.free_port("127.0.0.1", port)
    with pytest.raises(ValueError, match="port=70000 must be a whole number in 0..65535"):
        chat_page.free_port("127.0.0.1", 70000)
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'vl-dora\[demo\]'"):
        demo.serve(None, None, {}, task=None, extras={}, **HERE)


SAID = "[0, 1].map(n => [...document.querySelectorAll(`#side-${n} [data-testid=bot]`)].map(e => e.innerText))"
READY = "!!document.querySelector('#question textarea:not([disabled])')"


@contextmanager
def served(run):
    """The address of the page of a run, as a user starts it; interrupted at the end as a user does."""
    command = [sys.executable, "-m", "vl_dora.ask", f"run={run}", "demo=true", "port=0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that run in the background have the signal ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        line = process.stdout.readline()
        assert "(Ctrl-C ends it)" in line
        yield line.split()[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed (extra demo)")
def test_in_a_browser_both_answer_and_nothing_is_fetched_from_elsewhere(finished, browser, tmp_path):
    make = made(composed("ask", ["run=x"]).make)
    # Of two pictures: a file field that is given the file it holds does nothing.
    lines = list({line["images"][0]: line for line in answered(finished)}.values())[:2]
    files = [data_folder(finished) / line["images"][0] for line in lines]
    questions = [line["prompt"].removeprefix("vqa: ") for line in lines]
    base = Answerer(read_config(finished), None, make)
    asked = [Question(text, (str(file),)) for text, file in zip(questions, files, strict=True)]
    expected = [[base.ask(one).text or "(nothing)" for one in asked]]
    expected.append([line["text"] or "(nothing)" for line in lines])

    with served(finished) as address, browser.opened(address, tmp_path / "profile") as tab:
        assert address.startswith("http://127.0.0.1:")
        for number, (text, file) in enumerate(zip(questions, files, strict=True), start=1):
            tab.wait(READY)
            tab.choose_files("#question input[type=file]", file)
            tab.wait("!!document.querySelector('#question img')")
            tab.type("#question textarea", text, enter=True)
            tab.wait(f"{SAID}.every(side => side.length == {number})")
        assert [[one.strip() for one in side] for side in tab.run(SAID)] == expected
        shown = "[...document.querySelectorAll('#side-1 img')].map(e => e.complete && e.naturalWidth)"
        assert tab.run(shown) == [96, 96]
        tab.resize(420, 900)
        assert tab.run("document.documentElement.scrollWidth - innerWidth") <= 0
        tab.wait(READY)
        tab.run("document.querySelector('#again').click()")
        tab.wait(f"{SAID}.every(side => side.length == 0)")
        elsewhere = [one for one in tab.requested if not one.startswith((address, "data:", "blob:"))]
        assert elsewhere == [] and len(tab.requested) > 5
        assert tab.complaints == []
