"""What five people say of a scene: true by the places of pixels, in known words, of different things."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from numpy.random import RandomState
from tokenizers import Tokenizer

import vl_dora
from data_modules.scenes import world
from data_modules.scenes.annotators import PEOPLE, by_salience, captions
from data_modules.scenes.scene import SIDE, Scene, Thing, random_scene
from vl_dora.metrics import captions as metric

COLOUR = "(?:red|green|blue|yellow|purple|orange) "
ONE = rf"a (?:(?:small|large) )?(?:{COLOUR})?(?:circle|square|triangle|diamond|cross)"
MANY = rf"\d (?:{COLOUR})?(?:circles|squares|triangles|diamonds|crosses|things)"
SOME = f"{ONE}|{MANY}"
BESIDE = "above|below|left of|right of"
QUARTER = "(?:top|bottom) (?:left|right)"
FORMS = {
    "beside": rf"(?:there is |there are )?({SOME})(?: which is)? ({BESIDE}) ({ONE})",
    "place": rf"(?:there is )?({ONE}) on the ({QUARTER})",
    "placed first": rf"on the ({QUARTER}) there is ({ONE})",
    "two places": rf"({ONE}) on the ({QUARTER}) and ({ONE}) on the ({QUARTER})",
    "sorts": rf"(?:there (?:is|are) )?({SOME}) and ({SOME})",
    "one sort": rf"there are ({MANY})",
    "whole": r"(?:there are )?(\d) things(?:,| and) (\d)(?: of the things)? (?:is|are) (\w+)",
}


def form_of(text: str) -> tuple[str, tuple[str, ...]]:
    """The only form that a caption has, and what fills it."""
    found = [(name, match.groups()) for name, form in FORMS.items() if (match := re.fullmatch(form, text))]
    assert len(found) == 1, text
    return found[0]


def meant(words: str, scene: Scene) -> list[tuple[Thing, ...]]:
    """The groups that the words can mean: one thing each, or all of a sort if it has that number."""
    number, *attributes = words.split()
    kinds = [word for word in attributes if word not in ("thing", "things")]
    kinds = [
        re.sub("es$" if kind == "crosses" else "s$", "", kind) if kind != "cross" else kind for kind in kinds
    ]
    fitting = tuple(t for t in scene.things if all(kind in (t.size, t.colour, t.shape) for kind in kinds))
    if number == "a":
        return [(thing,) for thing in fitting]
    return [fitting] if len(fitting) == int(number) else []


def lies(a: Thing, side: str, b: Thing) -> bool:
    return {"above": a.y < b.y, "below": a.y > b.y, "left of": a.x < b.x, "right of": a.x > b.x}[side]


def inside(thing: Thing, quarter: str) -> bool:
    row, column = quarter.split()
    return (row == "top") == (thing.y < SIDE // 2) and (column == "left") == (thing.x < SIDE // 2)


def is_true(text: str, scene: Scene) -> bool:
    form, filled = form_of(text)
    if form == "whole":
        total, number, word = filled
        having = sum(word in (t.size, t.colour, t.shape) for t in scene.things)
        return len(scene.things) == int(total) and having == int(number)
    if form == "beside":
        first, side, second = filled
        return any(
            all(lies(a, side, b) for a in group) and b not in group
            for group, (b,) in product(meant(first, scene), meant(second, scene))
        )
    if form == "placed first":
        form, filled = "place", filled[::-1]
    if form in ("place", "two places"):
        pairs = zip(filled[::2], filled[1::2], strict=True)
        return all(any(inside(t, quarter) for (t,) in meant(words, scene)) for words, quarter in pairs)
    return all(meant(words, scene) for words in filled)


@pytest.fixture(scope="module")
def told() -> list[tuple[Scene, list[str]]]:
    random = RandomState(31)
    scenes = [random_scene(random) for _ in range(300)]
    return [(scene, captions(scene, random)) for scene in scenes]


def test_five_people_never_say_the_same_nor_anything_false(told):
    for scene, texts in told:
        assert len(set(texts)) == len(texts) == PEOPLE
        for text in texts:
            assert is_true(text, scene), (text, scene)


def test_the_reading_of_captions_finds_what_is_false(told):
    """What is said of one picture is mostly false of the next: the check above can fail."""
    others = [scene for scene, _ in told[1:]] + [told[0][0]]
    false = [
        not is_true(text, other) for (_, texts), other in zip(told, others, strict=True) for text in texts
    ]
    assert sum(false) / len(false) > 0.9


def test_people_tell_of_two_things_of_places_of_sorts_and_of_the_whole(told):
    counts = Counter(form_of(text)[0] for _, texts in told for text in texts)
    shares = {name: count / counts.total() for name, count in counts.items()}
    assert set(shares) == set(FORMS)
    assert 0.3 < shares["beside"] < 0.55
    assert 0.15 < shares["place"] + shares["placed first"] + shares["two places"] < 0.35
    assert 0.1 < shares["sorts"] + shares["one sort"] < 0.3
    assert 0.08 < shares["whole"] < 0.2
    several = [len({form_of(text)[0] for text in texts}) for _, texts in told]
    assert sum(several) / len(several) > 2.5


def test_people_agree_in_part_and_twice_as_much_as_with_any_fixed_caption(told):
    """One person against the other four, and the caption most often given of all against the same."""
    texts = [texts for _, texts in told]
    others = [mine[1:] for mine in texts]
    people = metric.score([mine[0] for mine in texts], others).scores
    commonest = Counter(text for mine in texts for text in mine).most_common(1)[0][0]
    fixed = metric.score([commonest] * len(texts), others).scores
    assert 0.3 < people["Bleu_4"] < 0.55 and 1.0 < people["CIDEr"] < 2.0
    assert fixed["CIDEr"] < 0.5 * people["CIDEr"]


def test_large_things_and_lone_colours_catch_the_eye():
    looks = [("red", "small"), ("red", "large"), ("blue", "small")]
    things = (Thing(colour, "square", size, 0, 2 * n, 16, 8, 0) for n, (colour, size) in enumerate(looks))
    ranked = by_salience(Scene(tuple(things), 220))
    assert [(t.colour, t.size) for t in ranked] == [("red", "large"), ("blue", "small"), ("red", "small")]


def test_most_people_place_the_thing_that_catches_the_eye_but_not_all(told):
    placed = [
        bool(re.search(f"{first.shape} on the|there is a .*{first.shape}$", text))
        for scene, texts in told
        if len({t.shape for t in scene.things}) > 2
        for first in by_salience(scene)[:1]
        for text in texts
        if "on the" in text and " and " not in text
    ]
    assert 0.6 < sum(placed) / len(placed) < 0.9


def test_no_word_is_spelled_and_no_sentence_was_read_in_pretraining(told):
    tokenizer = Tokenizer.from_file(
        str(Path(vl_dora.__file__).parent / "bases" / "tiny_scenes" / "tokenizer.json")
    )
    words = {word for _, texts in told for text in texts for word in re.findall(r"\w+|,", text)}
    assert {word: tokenizer.encode(word, add_special_tokens=False).tokens for word in words} == {
        word: [word] for word in words
    }
    practised = {target for drawn in world.samples(seed=6, count=300) for _, _, target in drawn.questions}
    assert not {text for _, texts in told for text in texts} & practised
