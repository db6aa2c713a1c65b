"""The drawn scenes: read back from their pixels, balanced, disjoint, the same everywhere."""

import hashlib
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from numpy.random import RandomState
from PIL import Image

from data_modules.scenes import language, vqa, world
from data_modules.scenes.scene import COLOURS, HELD_OUT, random_scene


def blobs(picture: np.ndarray) -> list[tuple[str, float, float, int]]:
    """(colour, x, y, pixels) of every connected patch that is not ground, by flood fill."""
    ground = picture[0, 0]  # no thing reaches a corner
    left = (picture != ground).any(-1)
    found = []
    while left.any():
        stack, patch = [tuple(np.argwhere(left)[0])], []
        left[stack[0]] = False
        while stack:
            y, x = stack.pop()
            patch.append((y, x))
            for ny, nx in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if 0 <= ny < left.shape[0] and 0 <= nx < left.shape[1] and left[ny, nx]:
                    left[ny, nx] = False
                    stack.append((ny, nx))
        pixel = picture[patch[0]].astype(int)
        colour = min(COLOURS, key=lambda name: abs(pixel - np.array(COLOURS[name])).sum())
        ys, xs = np.array(patch).T
        found.append((colour, xs.mean(), ys.mean(), len(patch)))
    return found


def test_counts_colours_and_places_can_be_read_from_the_pixels():
    random = RandomState(3)
    for _ in range(40):
        scene = random_scene(random)
        seen = blobs(scene.draw())
        assert dict(language.total(scene)) == {"how many things are there?": str(len(seen))}
        by_colour = Counter(colour for colour, *_ in seen)
        for colour in COLOURS:
            told = dict(language.count_colour(scene))[f"how many {colour} things are there?"]
            assert told == str(by_colour[colour])
        for thing in scene.things:
            colour, x, y, pixels = min(seen, key=lambda blob: abs(blob[1] - thing.x) + abs(blob[2] - thing.y))
            assert colour == thing.colour
            assert abs(x - thing.x) < 1 and abs(y - thing.y) < 4  # a triangle's mean lies low
            assert (pixels > 140) == (thing.size == "large")


def test_judged_relations_agree_with_the_pixels_positions():
    random = RandomState(4)
    checked = 0
    for _ in range(60):
        scene = random_scene(random)
        centres = {t.name: (t.x, t.y) for t in scene.unique_things()}
        for question, answer in language.judge_relation(scene):
            words = next(w for w in language.DIRECTIONS if w in question)
            first, second = question.removeprefix("is the ").rstrip("?").split(f" {words} the ")
            (ax, ay), (bx, by) = centres[first], centres[second]
            truth = {"left of": ax < bx, "right of": ax > bx, "above": ay < by, "below": ay > by}[words]
            assert (answer == "yes") == truth, question
            checked += 1
    assert checked > 300


def test_a_seed_gives_the_same_pixels_and_words_everywhere():
    digest = hashlib.sha256()
    for drawn in world.samples(seed=5, count=20):
        digest.update(drawn.pixels.tobytes() + drawn.cells.tobytes() + repr(drawn.questions).encode())
    assert digest.hexdigest() == "9a07514a059815886ed6f99baa6bb72c9ebf5bda2023019d39a4e2a61822ff37"


def test_pretraining_and_fine_tuning_share_words_but_no_question():
    pretraining, fine_tuning, words = set(), set(), set()
    random = RandomState(6)
    for drawn in world.samples(seed=6, count=400):
        for _, prompt, target in drawn.questions:
            pretraining.add(prompt.removeprefix("vqa: "))
            words |= set(f"{prompt} {target}".replace("?", " ").replace(",", " ").split())
    for _ in range(200):
        scene = random_scene(random)
        for kind in language.FINE_TUNING.values():
            fine_tuning |= {pair for pair in kind(scene)}
    assert not pretraining & {question for question, _ in fine_tuning}
    assert {w for q, a in fine_tuning for w in f"{q} {a}".replace("?", " ").split()} <= words


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes")
    vqa.write(path, seed=0, train=400, val=20, test=150, composition=40)
    return path


def rows(folder, name):
    questions = json.loads((folder / f"v2_OpenEnded_mscoco_{name}_questions.json").read_text())["questions"]
    annotations = json.loads((folder / f"v2_mscoco_{name}_annotations.json").read_text())["annotations"]
    return list(zip(questions, annotations, strict=True))


def test_splits_share_no_picture(folder):
    digests = defaultdict(set)
    for path in folder.glob("*/*.png"):
        digests[path.parent.name].add(Image.open(path).tobytes())
    names = sorted(digests)
    assert names == ["composition", "test2015", "train2014", "val2014"]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert not digests[first] & digests[second]


def test_held_out_pairs_are_asked_about_in_the_composition_split_alone(folder):
    pairs = [f"{colour} {shape}" for colour, shape in HELD_OUT]
    asked = {
        name: sum(
            any(pair in question["question"].lower() for pair in pairs) for question, _ in rows(folder, name)
        )
        for name in ("train2014", "test2015", "composition")
    }
    assert asked["train2014"] == asked["test2015"] == 0
    assert asked["composition"] > 40
    random = RandomState(8)
    for _ in range(300):
        assert not any(thing.pair in HELD_OUT for thing in random_scene(random).things)
        assert any(thing.pair in HELD_OUT for thing in random_scene(random, held_out=True).things)


def test_every_question_has_ten_answers_of_which_nine_agree(folder):
    for _, annotation in rows(folder, "test2015"):
        counts = Counter(answer["answer"] for answer in annotation["answers"])
        assert counts.total() == 10
        assert counts[annotation["multiple_choice_answer"]] >= 9
        assert sorted(a["answer_id"] for a in annotation["answers"]) == list(range(1, 11))


def test_neither_the_question_nor_the_commonest_answer_gives_it_away(folder):
    by_text, by_kind = defaultdict(Counter), defaultdict(Counter)
    for question, annotation in rows(folder, "train2014"):
        by_text[question["question"]][annotation["multiple_choice_answer"]] += 1
        by_kind[annotation["question_type"]][annotation["multiple_choice_answer"]] += 1
    for kind, counts in by_kind.items():
        assert max(counts.values()) / counts.total() < (0.52 if "yes" in counts else 0.35), kind
    hits = [
        by_text[q["question"]].most_common(1)[0][0] == a["multiple_choice_answer"]
        for q, a in rows(folder, "test2015")
        if q["question"] in by_text
    ]
    assert np.mean(hits) < 0.45


def test_all_kinds_are_asked_about_equally_often(folder):
    kinds = Counter(a["question_type"] for _, a in rows(folder, "train2014"))
    assert set(kinds) == set(language.FINE_TUNING)
    assert max(kinds.values()) < 1.2 * min(kinds.values())
