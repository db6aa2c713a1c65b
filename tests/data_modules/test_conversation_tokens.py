"""What is supervised, decoded, is the answers and their ends: for many conversations and tokenizers."""

import importlib.util
import random
from pathlib import Path

import pytest

from data_modules.conversation_tokens import tokenize
from data_modules.templates import TEMPLATES
from vl_dora.batch import VISUAL_PLACE

_file = Path(__file__).with_name("tokenizers_of_all_kinds.py")
_spec = importlib.util.spec_from_file_location("tokenizers_of_all_kinds", _file)
kinds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kinds)

WORDS = (
    "what is the red circle doing? USER: ASSISTANT: yes no 42 B. a,b (c) naïve Über 数 学 🙂 e-mail x=1; "
    "it's \n two  spaces :: A: user ! ... [1] {} ‘quoted’"
).split(" ")


def conversations(seed: int, count: int) -> list[list[tuple[str, str]]]:
    draw = random.Random(seed)

    def text(least: int) -> str:
        words = [draw.choice(WORDS) for _ in range(draw.randint(least, 12))]
        return " ".join(words).strip() or "?"

    made = []
    for _ in range(count):
        turns = [(text(1), text(1)) for _ in range(draw.randint(1, 4))]
        for _ in range(draw.randint(0, 2)):
            place = draw.randrange(len(turns))
            turns[place] = (f"<image>\n{turns[place][0]}", turns[place][1])
        made.append(turns)
    return made


@pytest.fixture(scope="module")
def make():
    known = {}
    texts = [part for turns in conversations(9, 150) for turn in turns for part in turn]

    def lend(kind: str, begins: bool, template: str):
        key = kind, begins, template
        if key not in known:
            known[key] = kinds.build(kind, texts, begins=begins, chatml=template == "chat")
        return known[key]

    return lend


LOSSLESS = ("bytes", "bytes_untrimmed", "llama")
CASES = [(k, b, t) for k in kinds.KINDS for b in (True, False) for t in ("vicuna_v1", "chat")]


def runs(row) -> list[list[int]]:
    """Token ids of each unbroken run of supervised tokens."""
    found, open_run = [], False
    for token, of_answer in zip(row.ids, row.supervised, strict=True):
        if of_answer:
            if not open_run:
                found.append([])
            found[-1].append(token)
        open_run = of_answer
    return found


@pytest.mark.parametrize(("kind", "begins", "template"), CASES)
def test_the_decoded_supervised_tokens_are_the_answers_and_their_ends(make, kind, begins, template):
    tokenizer = make(kind, begins, template)
    drawn = conversations(1, 60)
    rows = tokenize([TEMPLATES[template](turns, tokenizer) for turns in drawn], tokenizer, visual_tokens=3)
    for turns, row in zip(drawn, rows, strict=True):
        found = runs(row)
        assert [run[-1] for run in found] == [tokenizer.eos_token_id] * len(turns)
        assert tokenizer.eos_token_id not in {token for run in found for token in run[:-1]}
        said = [tokenizer.decode(run[:-1]) for run in found]
        if kind in LOSSLESS:
            assert [text.strip() for text in said] == [answer for _, answer in turns]
        else:  # what is read back of an answer alone: lower case, no line breaks, no unknown letters
            alone = [
                tokenizer.decode(tokenizer.encode(answer, add_special_tokens=False)) for _, answer in turns
            ]
            assert ["".join(text.split()) for text in said] == ["".join(text.split()) for text in alone]


@pytest.mark.parametrize(("kind", "begins", "template"), CASES)
def test_a_conversation_begins_with_the_tokens_of_its_prompt_alone(make, kind, begins, template):
    tokenizer = make(kind, begins, template)
    drawn = conversations(2, 40)
    write = TEMPLATES[template]
    whole = tokenize([write(turns, tokenizer) for turns in drawn], tokenizer, 3)
    asked = [[*turns[:-1], (turns[-1][0], None)] for turns in drawn]
    prompts = tokenize([write(turns, tokenizer) for turns in asked], tokenizer, 3)
    for row, prompt in zip(whole, prompts, strict=True):
        assert row.prompt_length == prompt.prompt_length == len(prompt)
        assert row.ids[: row.prompt_length] == prompt.ids
        assert not any(row.supervised[: row.prompt_length - 1]) or len(runs(row)) > 1
        assert row.supervised[row.prompt_length]


@pytest.mark.parametrize(("kind", "begins", "template"), CASES)
def test_every_picture_has_its_places_and_a_text_begins_once(make, kind, begins, template):
    tokenizer = make(kind, begins, template)
    drawn = conversations(3, 40)
    rows = tokenize([TEMPLATES[template](turns, tokenizer) for turns in drawn], tokenizer, 5)
    for turns, row in zip(drawn, rows, strict=True):
        pictures = sum(question.count("<image>") for question, _ in turns)
        assert row.ids.count(VISUAL_PLACE) == 5 * pictures
        assert row.ids.count(tokenizer.bos_token_id) == int(begins)
        assert (row.ids[0] == tokenizer.bos_token_id) == begins


def test_a_token_across_the_edge_of_an_answer_is_cut_there():
    """A tokenizer whose vocabulary has ': yes' as one token still learns 'yes' alone."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    letters = sorted(set("USER: hm ASSISTANT: yes " + TEMPLATES["vicuna_v1"]([("", None)], None).text))
    vocabulary = [(word, -float(10 - len(word))) for word in (*letters, ": yes")]
    tokenizer = Tokenizer(models.Unigram([("<unk>", -100.0), ("</s>", -100.0), *vocabulary], unk_id=0))
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")
    crossing = fast.convert_tokens_to_ids(": yes")
    assert crossing in fast("ASSISTANT: yes")["input_ids"]
    (row,) = tokenize([TEMPLATES["vicuna_v1"]([("hm", "yes")], fast)], fast, 1)
    assert crossing not in row.ids
    assert [fast.convert_ids_to_tokens(run) for run in runs(row)] == [[" ", "y", "e", "s", "</s>"]]
