"""`vl-dora VERB options` is `python -m vl_dora.VERB options`."""

from __future__ import annotations

import sys

import pytest

from vl_dora import cli


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_each_verb_on_a_line(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vl-dora", *arguments])
    assert cli.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(cli.VERBS)


def test_an_unknown_verb_is_one_sentence_that_names_the_verbs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vl-dora", "trian", "experiment=vqa"])
    assert cli.main() == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "'trian'" in said.err and all(verb in said.err for verb in cli.VERBS)


def test_a_verb_is_run_as_the_module_of_its_name_with_the_rest_of_the_line(monkeypatch):
    ran = {}

    def run_module(name, run_name, alter_sys):
        ran.update(name=name, run_name=run_name, options=sys.argv[1:])

    monkeypatch.setattr(sys, "argv", ["vl-dora", "train", "experiment=vqa", "-m"])
    monkeypatch.setattr(cli.runpy, "run_module", run_module)
    assert cli.main() == 0
    assert ran == {"name": "vl_dora.train", "run_name": "__main__", "options": ["experiment=vqa", "-m"]}
