"""The embedded conversations: true, in the official layout, apart from what the base has practised."""

import json
from itertools import islice

import pytest
from numpy.random import RandomState
from PIL import Image

from data_modules.formats.llava_mix import LlavaConversations
from data_modules.reading import BadSamples, read_examples
from data_modules.scenes.conversations import CHOICE, SHARES, SHORT, talks, write
from data_modules.scenes.language import CAPTIONS, FINE_TUNING, PRETRAINING
from vl_dora.tasks import instructions


def some(pretraining: bool, count: int = 300):
    return list(islice(talks(RandomState(3), pretraining=pretraining), count))


def bare(question: str) -> str:
    """A question without picture, story, options and the words that say how to answer."""
    text = question.replace("<image>\n", "").split("\n")[0]
    return text.split(". ", 1)[-1] if text.startswith("A picture shows") else text


@pytest.mark.parametrize("pretraining", [True, False])
def test_every_answer_is_what_the_scene_says(pretraining):
    kinds = {**(PRETRAINING if pretraining else FINE_TUNING), **CAPTIONS}
    for talk in some(pretraining):
        facts = {pair for kind in kinds.values() for pair in kind(talk.scene)}
        for question, answer in talk.turns:
            if talk.kind == "description":
                assert answer in {text for _, text in facts}
                continue
            if talk.kind == "choice":
                options = dict(line.split(". ", 1) for line in question.split("\n") if line[1:3] == ". ")
                true = [option for option in options.values() if (bare(question), option) in facts]
                assert true == [options[answer]]
                continue
            assert (bare(question), answer) in facts


def test_short_questions_of_fine_tuning_are_never_asked_in_pretraining():
    asked = {
        pretraining: {bare(q) for t in some(pretraining, 1500) if t.kind != "description" for q, _ in t.turns}
        for pretraining in (True, False)
    }
    assert len(asked[True]) > 100 and len(asked[False]) > 100
    assert not asked[True] & asked[False]


def test_all_kinds_come_up_and_only_what_is_told_has_no_picture():
    drawn = some(False, 600)
    assert {talk.kind for talk in drawn} == set(SHARES)
    for talk in drawn:
        places = [question.count("<image>") for question, _ in talk.turns]
        assert places == [int(talk.kind != "told"), *[0] * (len(talk.turns) - 1)]
    assert max(len(talk.turns) for talk in drawn) == 5


def test_the_words_that_say_how_to_answer_are_those_of_the_task():
    assert (SHORT, CHOICE) == (instructions.SHORT, instructions.CHOICE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("world")
    write(path, train=40, val=10, test=10)
    return path


def test_the_official_reader_reads_what_is_written(folder):
    task, found = instructions.Instructions(), {}
    for split in ("train", "val:answers", "test:answers"):
        rows = read_examples(LlavaConversations(), folder, split, task, BadSamples(split, "raise", 0))
        found[split] = [example for example, _ in rows]
    assert len(found["train"]) == 40
    assert len({e.id.split("#")[0] for e in found["test:answers"]}) == 10 < len(found["test:answers"])
    for examples in found.values():
        for example in examples:
            for ref in example.images:
                with Image.open(folder / ref.path) as picture:
                    assert picture.size == (96, 96)
    pictures = {s: {r.path for e in examples for r in e.images} for s, examples in found.items()}
    assert not pictures["train"] & pictures["test:answers"]


def test_the_same_seed_writes_the_same_files(folder, tmp_path):
    write(tmp_path, train=40, val=10, test=10)
    for file in folder.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / file.relative_to(folder)).read_bytes()
    write(tmp_path / "other", seed=1, train=40, val=10, test=10)
    name = "llava_v1_5_mix665k.json"
    assert json.loads((tmp_path / "other" / name).read_text()) != json.loads((folder / name).read_text())
